/* A module that is part of the program does all that a mapped one does: traps by signals, backtraces,
 * unwinding by the system's own unwinder, large images, pools, timeouts. And nothing becomes
 * executable. */
#define _GNU_SOURCE
#include "../../../examples/c/common.h"
#include "large.h"

#include <string.h>
#include <unwind.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* How many mappings of the process can be executed. */
static int executable_mappings(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    char line[1024];
    int count = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        const char *access = strchr(line, ' ');
        count += access != NULL && access[3] == 'x';
    }
    fclose(maps);
    return count;
}

static int frames_in_guest, saw_outermost;
static void outermost(precast_store *store, precast_instance instance);

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *data) {
    (void)data;
    void *function = _Unwind_FindEnclosingFunction((void *)(_Unwind_GetIP(context) - 1));
    saw_outermost |= function == (void *)(uintptr_t)outermost;
    return _URC_NO_REASON;
}

static precast_error *look(void *env, precast_caller *caller, const precast_val *args,
                           size_t arg_count, precast_val *results, size_t result_count) {
    (void)env, (void)caller, (void)args, (void)arg_count, (void)results, (void)result_count;
    _Unwind_Backtrace(visit, NULL);
    frames_in_guest++;
    return NULL;
}

static __attribute__((noinline)) void outermost(precast_store *store, precast_instance instance) {
    precast_func func;
    must(precast_instance_func(store, instance, "look", &func));
    must(precast_func_call(store, func, NULL, 0, NULL, 0));
    CHECK(frames_in_guest == 1);
}

static int32_t load(precast_store *store, precast_instance instance, int32_t address) {
    precast_func func;
    must(precast_instance_func(store, instance, large_NAME_load, &func));
    precast_val value = precast_val_i32(address);
    must(precast_func_call(store, func, &value, 1, &value, 1));
    return value.of.i32;
}

static void put(precast_store *store, precast_instance instance, int32_t address, int32_t byte) {
    precast_func func;
    must(precast_instance_func(store, instance, large_NAME_store, &func));
    precast_val values[2] = {precast_val_i32(address), precast_val_i32(byte)};
    must(precast_func_call(store, func, values, 2, NULL, 0));
}

static void is_trap(precast_error *error, uint32_t code, const char *function) {
    CHECK(error != NULL && precast_error_get_trap(error) == code);
    precast_frame frame;
    CHECK(precast_error_frame(error, 0, &frame));
    CHECK(strcmp(frame.module, "large") == 0);
    CHECK(frame.function != NULL && strcmp(frame.function, function) == 0);
    precast_error_delete(error);
}

int main(void) {
    int before = executable_mappings();
    precast_module *module, *again;
    must(precast_module_from_static(large, &module));
    must(precast_module_from_static(large, &again));
    precast_module_delete(again);
    precast_linker *linker;
    must(precast_linker_new(&linker));
    must(precast_linker_define_func(linker, "host", "look", "->", look, NULL, NULL));
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    precast_instance instance, other;
    must(precast_linker_instantiate(linker, store, module, &instance));
    must(precast_linker_instantiate(linker, store, module, &other));

    /* Both begin with the image; what one writes, the other does not see. */
    CHECK(load(store, instance, 0) == 's' && load(store, instance, 40000) == 'm');
    CHECK(load(store, instance, 120002) == 'd' && load(store, instance, 200000) == 0);
    put(store, instance, 40000, 'x');
    CHECK(load(store, instance, 40000) == 'x' && load(store, other, 40000) == 'm');

    precast_func func;
    must(precast_instance_func(store, instance, large_NAME_indirect, &func));
    precast_val values[2] = {precast_val_i32(1), precast_val_i32(40)}, result;
    must(precast_func_call(store, func, values, 2, &result, 1));
    CHECK(result.of.i32 == 42);
    values[0].of.i32 = 2;
    is_trap(precast_func_call(store, func, values, 2, &result, 1),
            PRECAST_TRAP_UNINITIALIZED_ELEMENT, "indirect");
    must(precast_instance_func(store, instance, large_NAME_load, &func));
    values[0].of.i32 = -1;
    is_trap(precast_func_call(store, func, values, 1, &result, 1),
            PRECAST_TRAP_MEMORY_OUT_OF_BOUNDS, "load");
    must(precast_instance_func(store, instance, large_NAME_divide, &func));
    values[1].of.i32 = 0;
    is_trap(precast_func_call(store, func, values, 2, &result, 1),
            PRECAST_TRAP_INTEGER_DIVIDE_BY_ZERO, "divide");
    outermost(store, instance);
    CHECK(saw_outermost);
    must(precast_instance_func(store, instance, large_NAME_spin, &func));
    must(precast_store_set_timeout(store, 100 * 1000 * 1000));
    is_trap(precast_func_call(store, func, NULL, 0, NULL, 0), PRECAST_TRAP_INTERRUPTED, "spin");
    precast_store_delete(store);

    precast_pool_options options = PRECAST_POOL_OPTIONS;
    options.slots = 2;
    options.verify = 1;
    precast_pool *pool;
    must(precast_pool_new(&options, &pool));
    precast_template *template;
    must(precast_template_new(linker, module, &template));
    for (int i = 0; i < 20; i++) {
        precast_sandbox *sandbox;
        must(precast_sandbox_new(pool, template, 0, NULL, NULL, &sandbox));
        store = precast_sandbox_store(sandbox);
        instance = precast_sandbox_instance(sandbox);
        CHECK(load(store, instance, 80000) == 'm' && load(store, instance, 90000) == 0);
        put(store, instance, 80000, i);
        put(store, instance, 90000 + 4096 * i, i);
        precast_sandbox_delete(sandbox);
    }
    precast_pool_stats stats;
    must(precast_pool_get_stats(pool, &stats));
    CHECK(stats.unclean == 0 && stats.lost == 0 && stats.made == 1);
    precast_pool_delete(pool);
    precast_template_delete(template);
    precast_linker_delete(linker);
    precast_module_delete(module);
    CHECK(executable_mappings() == before);
    puts("done");
    return 0;
}
