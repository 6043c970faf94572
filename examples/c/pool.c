/* A fresh sandbox for every request, from a pool: made in nanoseconds, and nothing of it left for the
 * next one. The function is looked up once, for all of them.
 *
 *   precast compile pool.wat
 *   cc -std=c11 pool.c libprecast.a -lm -lpthread -ldl -o pool
 *   ./pool pool.so 100000
 */
#include "common.h"

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: pool OBJECT REQUESTS\n");
        return 2;
    }
    long requests = strtol(argv[2], NULL, 10);
    precast_module *module;
    must(precast_module_open(argv[1], &module));
    precast_linker *linker;
    must(precast_linker_new(&linker));
    precast_template *template;
    must(precast_template_new(linker, module, &template));
    precast_template_func add;
    must(precast_template_get_func(template, "add", "(i32, i32) -> (i32)", &add));

    precast_pool_options options = PRECAST_POOL_OPTIONS;
    options.slots = 8;
    options.max_memory = 1 << 20;
    precast_pool *pool;
    must(precast_pool_new(&options, &pool));

    for (long i = 0; i < requests; i++) {
        precast_sandbox *sandbox;
        must(precast_sandbox_new(pool, template, (uint64_t)i % 3, NULL, NULL, &sandbox));
        precast_typed_func here;
        must(precast_sandbox_bind(sandbox, &add, &here));
        int32_t sum;
        must(precast_call_ii_i(precast_sandbox_store(sandbox), &here, 20, 22, &sum));
        if (sum != 42) {
            fprintf(stderr, "request %ld found %d in its memory\n", i, (int)sum - 42);
            return 1;
        }
        precast_sandbox_delete(sandbox);
    }

    precast_pool_stats stats;
    must(precast_pool_get_stats(pool, &stats));
    printf("%ld requests, %d slots made\n", requests, (int)stats.made);
    precast_pool_delete(pool);
    precast_template_delete(template);
    precast_linker_delete(linker);
    precast_module_delete(module);
    return 0;
}
