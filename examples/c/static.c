/* Two modules that are part of the program: no file to open, and no page made executable at run time.
 *
 *   precast compile hello.wat --emit obj    --symbol hello   -o hello.o
 *   precast compile hello.wat --emit header --symbol hello   -o hello.h
 *   precast compile pool.wat  --emit obj    --symbol counter -o counter.o
 *   precast compile pool.wat  --emit header --symbol counter -o counter.h
 *   cc -std=c11 static.c hello.o counter.o libprecast.a -lm -lpthread -ldl -o static
 *   ./static
 */
#include "common.h"
#include "counter.h"
#include "hello.h"

static precast_error *count_bytes(void *env, precast_caller *caller, const precast_val *args,
                                  size_t arg_count, precast_val *results, size_t result_count) {
    (void)caller, (void)arg_count, (void)results, (void)result_count;
    *(int *)env += args[1].of.i32;
    return NULL;
}

int main(void) {
    precast_linker *linker;
    must(precast_linker_new(&linker));
    int bytes = 0;
    must(precast_linker_define_func(linker, "host", "log", "(i32, i32) -> ()", count_bytes, &bytes,
                                    NULL));
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));

    precast_module *module;
    precast_instance instance;
    precast_func func;
    precast_typed_func typed;
    int32_t result;

    must(precast_module_from_static(hello, &module));
    must(precast_linker_instantiate(linker, store, module, &instance));
    must(precast_instance_func(store, instance, hello_NAME_greet, &func));
    must(precast_func_typed(store, func, hello_TYPE_greet, &typed));
    must(precast_call_i_i(store, &typed, 3, &result));
    printf("%s: %d times, %d bytes\n", precast_module_name(module), (int)result, bytes);
    precast_module_delete(module);

    must(precast_module_from_static(counter, &module));
    must(precast_linker_instantiate(linker, store, module, &instance));
    must(precast_instance_func(store, instance, counter_NAME_add, &func));
    must(precast_func_typed(store, func, counter_TYPE_add, &typed));
    must(precast_call_ii_i(store, &typed, 40, 2, &result));
    printf("%s: %d\n", precast_module_name(module), (int)result);
    precast_module_delete(module);

    precast_store_delete(store);
    precast_linker_delete(linker);
    return 0;
}
