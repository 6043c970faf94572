// Planets under gravity: scalar double arithmetic with square roots and divisions.
#include "kernel.h"

typedef struct {
    double x, y, z, vx, vy, vz, mass;
} body;

static const body start[5] = {
    {0, 0, 0, 0, 0, 0, 39.47841760435743},
    {4.84143144246472090, -1.16032004402742839, -0.103622044471123109, 0.606326392995832, 2.81198684491626016, -0.02521836165988763, 0.03769367487038949},
    {8.34336671824457987, 4.12479856412430479, -0.403523417114321381, -1.01077434617879236, 1.82566237123041186, 0.00841576137658415, 0.01128632613196877},
    {12.8943695621391310, -15.1111514016986312, -0.223307578892655734, 1.08279100644153536, 0.86871301816960822, -0.01083263740136364, 0.00172372405705971},
    {15.3796971148509165, -25.9193146099879641, 0.179258772950371181, 0.97909073224389798, 0.59469899864767617, -0.03475595555078104, 0.00203368686992463}};
static body bodies[5];

NOINLINE static void advance(double step) {
    for (int i = 0; i < 5; i++) {
        body *a = &bodies[i];
        for (int j = i + 1; j < 5; j++) {
            body *b = &bodies[j];
            double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
            double squared = dx * dx + dy * dy + dz * dz;
            double force = step / (squared * __builtin_sqrt(squared));
            a->vx -= dx * b->mass * force, a->vy -= dy * b->mass * force, a->vz -= dz * b->mass * force;
            b->vx += dx * a->mass * force, b->vy += dy * a->mass * force, b->vz += dz * a->mass * force;
        }
    }
    for (int i = 0; i < 5; i++) {
        body *a = &bodies[i];
        a->x += step * a->vx, a->y += step * a->vy, a->z += step * a->vz;
    }
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < 5; i++) bodies[i] = start[i];
    for (int32_t i = 0; i < n; i++) advance(0.01);
    double sum = 0;
    for (int i = 0; i < 5; i++) sum += bodies[i].x + bodies[i].y + bodies[i].z;
    return (int64_t)(sum * 1e9);
}
