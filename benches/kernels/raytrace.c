// Ray tracing of spheres over a floor: small structs by value, square roots, recursion for mirrors.
#include "kernel.h"

typedef struct {
    double x, y, z;
} vector;
typedef struct {
    vector centre, colour;
    double radius, mirror;
} sphere;
typedef struct {
    vector from, along;
} ray;

static vector add(vector a, vector b) { return (vector){a.x + b.x, a.y + b.y, a.z + b.z}; }
static vector subtract(vector a, vector b) { return (vector){a.x - b.x, a.y - b.y, a.z - b.z}; }
static vector scale(vector a, double by) { return (vector){a.x * by, a.y * by, a.z * by}; }
static double dot(vector a, vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static vector unit(vector a) { return scale(a, 1 / __builtin_sqrt(dot(a, a))); }

#define SPHERES 9
static sphere spheres[SPHERES];

// The distance at which the ray meets the sphere, or a negative number.
static double meets(const ray *r, const sphere *s) {
    vector to = subtract(s->centre, r->from);
    double middle = dot(to, r->along), squared = dot(to, to) - middle * middle, inside = s->radius * s->radius - squared;
    if (inside < 0) return -1;
    double half = __builtin_sqrt(inside);
    return middle > half + 1e-6 ? middle - half : -1;
}

static const sphere *nearest(const ray *r, double *distance) {
    const sphere *found = NULL;
    *distance = 1e30;
    for (int i = 0; i < SPHERES; i++) {
        double d = meets(r, &spheres[i]);
        if (d > 0 && d < *distance) *distance = d, found = &spheres[i];
    }
    return found;
}

NOINLINE static vector trace(ray r, int depth) {
    double distance;
    const sphere *s = nearest(&r, &distance);
    vector at, normal, colour;
    double mirror;
    if (s) {
        at = add(r.from, scale(r.along, distance));
        normal = unit(subtract(at, s->centre));
        colour = s->colour, mirror = s->mirror;
    } else if (r.along.y < -1e-3) {
        at = add(r.from, scale(r.along, -r.from.y / r.along.y));
        normal = (vector){0, 1, 0};
        int is_dark = (int)(at.x + 1000) / 2 % 2 == (int)(at.z + 1000) / 2 % 2;
        colour = is_dark ? (vector){0.1, 0.1, 0.1} : (vector){0.8, 0.8, 0.7}, mirror = 0.2;
    } else {
        return (vector){0.4 + 0.3 * r.along.y, 0.5, 0.9};
    }
    vector light = unit(subtract((vector){5, 8, -4}, at));
    ray shadow = {at, light};
    double blocked, shade = dot(normal, light);
    if (shade < 0 || nearest(&shadow, &blocked)) shade = 0;
    colour = scale(colour, 0.2 + 0.8 * shade);
    if (mirror > 0 && depth < 4) {
        vector along = subtract(r.along, scale(normal, 2 * dot(normal, r.along)));
        colour = add(scale(colour, 1 - mirror), scale(trace((ray){at, along}, depth + 1), mirror));
    }
    return colour;
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < SPHERES; i++)
        spheres[i] = (sphere){{i % 3 * 2 - 2, 1 + i / 3 * 0.7, 4 + i / 3 * 2}, {0.3 + i % 2 * 0.5, 0.9 - i * 0.08, 0.2 + i * 0.07}, 0.8, i % 4 * 0.2};
    uint64_t sum = HASH_START;
    for (int32_t y = 0; y < n; y++)
        for (int32_t x = 0; x < n; x++) {
            vector along = unit((vector){(x - n * 0.5) / n, (n * 0.5 - y) / n, 1});
            vector colour = trace((ray){{0, 1.5, -3}, along}, 0);
            sum = mix(sum, (uint64_t)(colour.x * 255) << 16 | (uint64_t)(colour.y * 255) << 8 | (uint64_t)(colour.z * 255));
        }
    return (int64_t)sum;
}
