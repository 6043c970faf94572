/* A guest that calls a function of the host, which reads the guest's memory.
 *
 *   precast compile hello.wat
 *   cc -std=c11 hello.c libprecast.a -lm -lpthread -ldl -o hello
 *   ./hello hello.so
 */
#include "common.h"

/* (i32, i32) -> (): prints the bytes at an address of the guest's memory. */
static precast_error *log_text(void *env, precast_caller *caller, const precast_val *args,
                               size_t arg_count, precast_val *results, size_t result_count) {
    (void)arg_count, (void)results, (void)result_count;
    const uint8_t *memory;
    size_t size;
    precast_error *error = precast_caller_memory(caller, &memory, &size);
    if (error != NULL) {
        return error;
    }
    /* What a guest says is worth nothing until it is checked. */
    uint32_t start = (uint32_t)args[0].of.i32;
    uint32_t length = (uint32_t)args[1].of.i32;
    if (start > size || length > size - start) {
        return precast_error_new("the text is not in the memory");
    }
    printf("%s: %.*s\n", (const char *)env, (int)length, (const char *)memory + start);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: hello OBJECT\n");
        return 2;
    }
    precast_module *module;
    must(precast_module_open(argv[1], &module));

    precast_linker *linker;
    must(precast_linker_new(&linker));
    must(precast_linker_define_func(linker, "host", "log", "(i32, i32) -> ()", log_text,
                                    (void *)"guest", NULL));

    precast_store_options options = PRECAST_STORE_OPTIONS;
    options.memory_bytes = 16 << 20;
    precast_store *store;
    must(precast_store_new(&options, NULL, NULL, &store));

    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_func greet;
    must(precast_instance_func(store, instance, "greet", &greet));
    precast_val arg = precast_val_i32(2), result;
    must(precast_func_call(store, greet, &arg, 1, &result, 1));
    printf("it said so %d times\n", (int)result.of.i32);

    precast_store_delete(store);
    precast_linker_delete(linker);
    precast_module_delete(module);
    return 0;
}
