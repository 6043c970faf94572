/* Every part of the API, used rightly and wrongly. The object of guest.wat is the argument. */
#include "../../../examples/c/common.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* An error of this kind whose message has these words. */
#define FAILS(kind, words, call) fails(__LINE__, kind, words, call)

static void fails(int line, uint32_t kind, const char *words, precast_error *error) {
    if (error == NULL || precast_error_get_kind(error) != kind ||
        strstr(precast_error_message(error), words) == NULL) {
        fprintf(stderr, "line %d: not the error that it should be: %u %s\n", line,
                (unsigned)precast_error_get_kind(error), precast_error_message(error));
        exit(1);
    }
    CHECK(strchr(precast_error_message(error), '\n') == NULL);
    precast_error_delete(error);
}

static int finalized;

static void finalize(void *data) {
    CHECK(data != NULL);
    finalized++;
}

/* What the host function does this time. */
enum action { ANSWER, FAIL, TRAP, WRONG_KIND, REENTER, CALL_BACK, DELETE, LIMIT_ITSELF, DEFINE };

struct host {
    enum action action;
    precast_store *outer;
    precast_linker *linker;
    int calls;
};

static precast_error *host_f(void *env, precast_caller *caller, const precast_val *args,
                             size_t arg_count, precast_val *results, size_t result_count) {
    struct host *host = env;
    host->calls++;
    CHECK(arg_count == 1 && result_count == 1);
    CHECK(args[0].kind == PRECAST_I32 && results[0].kind == PRECAST_I32);
    precast_store *store = precast_caller_store(caller);
    precast_instance instance;
    CHECK(precast_caller_instance(caller, &instance));
    CHECK(!precast_caller_interrupted(caller));
    switch (host->action) {
    case ANSWER: {
        uint8_t *bytes;
        must(precast_caller_range(caller, 100, 4, &bytes));
        memcpy(bytes, "host", 4);
        FAILS(PRECAST_ERROR_USE, "out of bounds",
              precast_caller_range(caller, UINT64_MAX, 1, &bytes));
        FAILS(PRECAST_ERROR_USE, "out of bounds",
              precast_caller_range(caller, 0, SIZE_MAX, &bytes));
        const uint8_t *memory;
        size_t length;
        must(precast_caller_memory(caller, &memory, &length));
        CHECK(length == 2 * 65536 && memcmp(memory, "abc", 3) == 0);
        results[0].of.i32 = args[0].of.i32 + 1;
        return NULL;
    }
    case FAIL:
        return precast_error_new("no such luck");
    case TRAP:
        return precast_error_new_trap(PRECAST_TRAP_INTEGER_OVERFLOW);
    case WRONG_KIND:
        results[0] = precast_val_f64(1);
        return NULL;
    case REENTER: {
        precast_func func;
        FAILS(PRECAST_ERROR_USE, "in use",
              precast_instance_func(host->outer, instance, "double", &func));
        FAILS(PRECAST_ERROR_USE, "in use",
              precast_linker_define_instance(host->linker, host->outer, "m", instance));
        return NULL;
    }
    case CALL_BACK: {
        precast_func func;
        must(precast_instance_func(store, instance, "double", &func));
        must(precast_func_call(store, func, args, 1, results, 1));
        CHECK(results[0].of.i32 == 2 * args[0].of.i32);
        /* A trap further in comes out as it is, through both. */
        must(precast_instance_func(store, instance, "unreachable", &func));
        return precast_func_call(store, func, NULL, 0, NULL, 0);
    }
    case DELETE:
        precast_store_delete(host->outer);
        precast_store_delete(store);
        CHECK(precast_store_data(store) == (void *)host);
        return NULL;
    case LIMIT_ITSELF:
        FAILS(PRECAST_ERROR_USE, "host function", precast_store_set_timeout(store, 1));
        return NULL;
    case DEFINE:
        return NULL;
    }
    return precast_error_new("there is no such action");
}

static void call(precast_store *store, precast_instance instance, const char *name, int32_t arg,
                 precast_error **error, int32_t *answer) {
    precast_func func;
    must(precast_instance_func(store, instance, name, &func));
    precast_val value = precast_val_i32(arg), result = precast_val_i32(-1);
    *error = precast_func_call(store, func, &value, 1, &result, 1);
    *answer = result.of.i32;
}

static void host_functions(precast_module *module) {
    precast_linker *linker;
    must(precast_linker_new(&linker));
    struct host host = {ANSWER, NULL, linker, 0};
    finalized = 0;
    must(precast_linker_define_func(linker, "host", "f", "(i32) -> (i32)", host_f, &host,
                                    finalize));
    precast_store *store;
    must(precast_store_new(NULL, &host, finalize, &store));
    host.outer = store;
    CHECK(precast_store_data(store) == &host);
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_error *error;
    int32_t answer;

    call(store, instance, "call_host", 7, &error, &answer);
    must(error);
    CHECK(answer == 8 && host.calls == 1);
    precast_memory memory;
    uint8_t bytes[4];
    must(precast_instance_memory(store, instance, "memory", &memory));
    must(precast_memory_read(store, memory, 100, bytes, sizeof bytes));
    CHECK(memcmp(bytes, "host", 4) == 0);

    host.action = FAIL;
    call(store, instance, "call_host", 7, &error, &answer);
    precast_frame frame;
    CHECK(precast_error_frame(error, 0, &frame) && strcmp(frame.function, "call_host") == 0);
    CHECK(strstr(precast_error_report(error), "call_host at 0x") != NULL);
    FAILS(PRECAST_ERROR_HOST, "no such luck", error);

    host.action = TRAP;
    call(store, instance, "call_host", 7, &error, &answer);
    CHECK(precast_error_get_trap(error) == PRECAST_TRAP_INTEGER_OVERFLOW);
    CHECK(precast_error_frame_count(error) == 1);
    FAILS(PRECAST_ERROR_TRAP, "integer overflow", error);

    host.action = WRONG_KIND;
    call(store, instance, "call_host", 7, &error, &answer);
    FAILS(PRECAST_ERROR_USE, "f64", error);

    host.action = REENTER;
    call(store, instance, "call_host", 7, &error, &answer);
    must(error);
    CHECK(answer == 0);

    host.action = CALL_BACK;
    call(store, instance, "call_host", 7, &error, &answer);
    CHECK(precast_error_get_trap(error) == PRECAST_TRAP_UNREACHABLE);
    FAILS(PRECAST_ERROR_TRAP, "unreachable", error);

    host.action = DELETE;
    call(store, instance, "call_host", 7, &error, &answer);
    must(error);
    host.action = LIMIT_ITSELF;
    call(store, instance, "call_host", 7, &error, &answer);
    must(error);
    CHECK(finalized == 0);

    /* The function lives as long as the store that calls it. */
    precast_linker_delete(linker);
    host.action = ANSWER;
    call(store, instance, "call_host", 1, &error, &answer);
    must(error);
    CHECK(answer == 2 && finalized == 0);
    precast_store_delete(store);
    CHECK(finalized == 2);
}

static int32_t raw_f(precast_raw_caller *caller, int32_t arg) {
    size_t length;
    const uint8_t *memory = precast_raw_memory(caller, &length);
    CHECK(memory != NULL && length == 2 * 65536 && memcmp(memory, "abc", 3) == 0);
    uint8_t *range = precast_raw_range(caller, 8, 3);
    CHECK(range == memory + 8);
    memcpy(range, "raw", 3);
    CHECK(precast_raw_range(caller, 2 * 65536 - 2, 3) == NULL);
    CHECK(precast_raw_range(caller, UINT64_MAX, 3) == NULL);
    *(int *)precast_raw_data(caller) += 1;
    return arg * 3;
}

static void raw_functions(precast_module *module) {
    precast_linker *linker;
    must(precast_linker_new(&linker));
    must(precast_linker_define_raw(linker, "host", "f", "i32 -> i32", (precast_raw_func)raw_f));
    FAILS(PRECAST_ERROR_USE, "cannot be of that type",
          precast_linker_define_raw(linker, "host", "f", "f32 -> f32", (precast_raw_func)raw_f));
    FAILS(PRECAST_ERROR_USE, "null",
          precast_linker_define_raw(linker, "host", "f", "i32 -> i32", NULL));
    CHECK(precast_raw_data(NULL) == NULL && precast_raw_range(NULL, 0, 0) == NULL);
    CHECK(precast_raw_memory(NULL, NULL) == NULL);
    int calls = 0;
    precast_store *store;
    must(precast_store_new(NULL, &calls, NULL, &store));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_error *error;
    int32_t answer;
    call(store, instance, "call_host", 7, &error, &answer);
    must(error);
    CHECK(answer == 21 && calls == 1);
    precast_memory memory;
    uint8_t bytes[3];
    must(precast_instance_memory(store, instance, "memory", &memory));
    must(precast_memory_read(store, memory, 8, bytes, 3));
    CHECK(memcmp(bytes, "raw", 3) == 0);
    precast_store_delete(store);
    precast_linker_delete(linker);
}

static void traps(precast_module *module, precast_linker *linker) {
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_error *error;
    int32_t answer;

    call(store, instance, "fault", -4, &error, &answer);
    CHECK(precast_error_get_trap(error) == PRECAST_TRAP_MEMORY_OUT_OF_BOUNDS);
    CHECK(precast_error_frame_count(error) == 1 && precast_error_frames_omitted(error) == 0);
    precast_frame frame;
    CHECK(precast_error_frame(error, 0, &frame) && !precast_error_frame(error, 1, &frame));
    CHECK(strcmp(frame.module, "guest") == 0 && strcmp(frame.function, "deep") == 0);
    CHECK(frame.has_offset && frame.wasm_offset > 0 && frame.function_index == 3);
    CHECK(answer == -1 && !precast_error_get_exit(error, NULL));
    FAILS(PRECAST_ERROR_TRAP, "out of bounds memory access", error);

    precast_func func;
    must(precast_instance_func(store, instance, "recurse", &func));
    error = precast_func_call(store, func, NULL, 0, NULL, 0);
    CHECK(precast_error_get_trap(error) == PRECAST_TRAP_STACK_OVERFLOW);
    CHECK(precast_error_frames_omitted(error) > 0);
    FAILS(PRECAST_ERROR_TRAP, "call stack exhausted", error);

    must(precast_instance_func(store, instance, "divide", &func));
    precast_typed_func typed;
    must(precast_func_typed(store, func, "i32 i32 -> i32", &typed));
    must(precast_call_ii_i(store, &typed, -7, 2, &answer));
    CHECK(answer == -3);
    FAILS(PRECAST_ERROR_TRAP, "divide by zero", precast_call_ii_i(store, &typed, 1, 0, &answer));
    FAILS(PRECAST_ERROR_USE, "not of type", precast_call_i_i(store, &typed, 1, &answer));
    FAILS(PRECAST_ERROR_USE, "has type",
          precast_func_typed(store, func, "(i64) -> (i64)", &typed));
    FAILS(PRECAST_ERROR_USE, "no call of that type",
          precast_func_typed(store, func, "(f32) -> (v128)", &typed));
    memset(&typed, 0, sizeof typed);
    FAILS(PRECAST_ERROR_USE, "never set", precast_call_ii_i(store, &typed, 1, 1, &answer));
    precast_store_delete(store);
}

static void values(precast_module *module, precast_linker *linker) {
    precast_store *store, *other;
    must(precast_store_new(NULL, NULL, NULL, &store));
    must(precast_store_new(NULL, NULL, NULL, &other));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_func swap, same, func;
    must(precast_instance_func(store, instance, "swap", &swap));
    precast_val five[5] = {precast_val_i32(INT32_MIN), precast_val_i64(INT64_MIN),
                           precast_val_f32(0.5F), precast_val_f64(-0.0),
                           {PRECAST_V128, {0}}};
    for (int i = 0; i < 16; i++) {
        five[4].of.v128.bytes[i] = (uint8_t)(i + 1);
    }
    FAILS(PRECAST_ERROR_USE, "expected 5 results",
          precast_func_call(store, swap, five, 5, five, 0));
    /* In place. */
    must(precast_func_call(store, swap, five, 5, five, 5));
    CHECK(five[4].kind == PRECAST_I32 && five[4].of.i32 == INT32_MIN);
    CHECK(five[3].of.i64 == INT64_MIN && five[2].of.f32 == 0.5F && signbit(five[1].of.f64));
    CHECK(five[0].kind == PRECAST_V128 && five[0].of.v128.bytes[15] == 16);
    FAILS(PRECAST_ERROR_USE, "expected 5 parameters",
          precast_func_call(store, swap, five, 4, five, 5));
    FAILS(PRECAST_ERROR_USE, "expected a value of type i32",
          precast_func_call(store, swap, five, 5, five, 5));
    FAILS(PRECAST_ERROR_USE, "null", precast_func_call(store, swap, NULL, 5, five, 5));
    FAILS(PRECAST_ERROR_USE, "another store", precast_func_call(other, swap, five, 5, five, 5));
    five[0].kind = 99;
    FAILS(PRECAST_ERROR_USE, "99", precast_func_call(store, swap, five, 5, five, 5));
    char *type;
    must(precast_func_type(store, swap, &type));
    CHECK(strcmp(type, "(i32, i64, f32, f64, v128) -> (v128, f64, f32, i64, i32)") == 0);
    precast_string_delete(type);

    finalized = 0;
    int thing = 0;
    precast_val two[2] = {{PRECAST_EXTERNREF, {0}}, {PRECAST_FUNCREF, {0}}};
    must(precast_externref_new(store, &thing, finalize, &two[0].of.externref));
    must(precast_instance_func(store, instance, "same", &same));
    must(precast_instance_func(store, instance, "double", &two[1].of.funcref));
    must(precast_func_call(store, same, two, 2, two, 2));
    void *data;
    must(precast_externref_data(store, two[0].of.externref, &data));
    CHECK(data == &thing);
    FAILS(PRECAST_ERROR_USE, "another store",
          precast_externref_data(other, two[0].of.externref, &data));
    func = two[1].of.funcref;
    precast_val value = precast_val_i32(21);
    must(precast_func_call(store, func, &value, 1, &value, 1));
    CHECK(value.of.i32 == 42);
    memset(two[0].of.words, 0, sizeof two[0].of.words);
    must(precast_func_call(store, same, two, 2, two, 2));
    CHECK(two[0].of.words[0] == 0);
    FAILS(PRECAST_ERROR_USE, "zero", precast_externref_data(store, two[0].of.externref, &data));
    precast_store_delete(other);
    precast_store_delete(store);
    CHECK(finalized == 1);
}

static void memories(precast_module *module, precast_linker *linker) {
    precast_store_options options = PRECAST_STORE_OPTIONS;
    options.memory_bytes = 5 * 65536;
    precast_store *store;
    must(precast_store_new(&options, NULL, NULL, &store));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_memory memory, own, none = {{0, 0}};
    must(precast_instance_memory(store, instance, "memory", &memory));
    const uint8_t *view, *again;
    size_t length;
    must(precast_memory_view(store, memory, &view, &length));
    CHECK(length == 2 * 65536 && memcmp(view, "abc", 4) == 0);
    uint8_t *range;
    must(precast_memory_range(store, memory, length - 2, 2, &range));
    range[0] = 'x', range[1] = 'y';
    CHECK(view[length - 1] == 'y');
    FAILS(PRECAST_ERROR_USE, "out of bounds",
          precast_memory_range(store, memory, length - 1, 2, &range));
    uint64_t pages;
    must(precast_memory_grow(store, memory, 1, &pages));
    CHECK(pages == 2);
    must(precast_memory_view(store, memory, &again, &length));
    CHECK(again == view && length == 3 * 65536);
    FAILS(PRECAST_ERROR_LIMIT, "cannot grow", precast_memory_grow(store, memory, 2, NULL));
    CHECK(precast_store_memory_bytes(store) == 3 * 65536);
    must(precast_memory_new(store, 1, PRECAST_NO_LIMIT, &own));
    FAILS(PRECAST_ERROR_LIMIT, "exceeds the limit",
          precast_memory_new(store, 2, PRECAST_NO_LIMIT, &own));
    CHECK(own.words[0] == 0);
    uint8_t bytes[3] = {1, 2, 3};
    must(precast_memory_write(store, memory, 65535, bytes, 3));
    FAILS(PRECAST_ERROR_USE, "out of bounds",
          precast_memory_write(store, memory, UINT64_MAX, bytes, 3));
    must(precast_memory_read(store, memory, 65536, bytes, 2));
    CHECK(bytes[0] == 2 && bytes[1] == 3);
    FAILS(PRECAST_ERROR_USE, "null", precast_memory_read(store, memory, 0, NULL, 1));
    must(precast_memory_read(store, memory, 0, NULL, 0));
    FAILS(PRECAST_ERROR_USE, "never set", precast_memory_pages(store, none, &pages));
    must(precast_memory_pages(store, memory, &pages));
    CHECK(pages == 3);
    precast_store_delete(store);
}

static void tables_and_globals(precast_module *module, precast_linker *linker) {
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_table table;
    must(precast_instance_table(store, instance, "table", &table));
    uint64_t size;
    must(precast_table_size(store, table, &size));
    CHECK(size == 3);
    precast_val value, null = {PRECAST_FUNCREF, {0}};
    must(precast_table_get(store, table, 0, &value));
    precast_val number = precast_val_i32(4);
    must(precast_func_call(store, value.of.funcref, &number, 1, &number, 1));
    CHECK(number.of.i32 == 8);
    must(precast_table_get(store, table, 1, &null));
    CHECK(null.kind == PRECAST_FUNCREF && null.of.words[1] == 0);
    must(precast_table_set(store, table, 1, &value));
    FAILS(PRECAST_ERROR_USE, "out of bounds", precast_table_get(store, table, 3, &value));
    FAILS(PRECAST_ERROR_USE, "out of bounds", precast_table_set(store, table, 3, &null));
    FAILS(PRECAST_ERROR_USE, "expected a value", precast_table_set(store, table, 0, &number));
    must(precast_table_grow(store, table, 7, &null, &size));
    CHECK(size == 3);
    FAILS(PRECAST_ERROR_LIMIT, "cannot grow", precast_table_grow(store, table, 1, &null, NULL));
    FAILS(PRECAST_ERROR_USE, "funcref or externref",
          precast_table_new(store, "i32", 1, 1, &number, &table));
    must(precast_table_new(store, "funcref", 1, PRECAST_NO_LIMIT, &null, &table));

    /* A handle that was made up: what the library does not expect stays within it. */
    precast_table forged = table;
    forged.words[1] = 1000000;
    FAILS(PRECAST_ERROR_INTERNAL, "a bug", precast_table_size(store, forged, &size));
    must(precast_table_size(store, table, &size));

    precast_global global;
    must(precast_instance_global(store, instance, "count", &global));
    value = precast_val_i64(-1);
    must(precast_global_set(store, global, &value));
    must(precast_global_get(store, global, &value));
    CHECK(value.kind == PRECAST_I64 && value.of.i64 == -1);
    FAILS(PRECAST_ERROR_USE, "expected a value", precast_global_set(store, global, &number));
    must(precast_instance_global(store, instance, "fixed", &global));
    value = precast_val_f64(2);
    FAILS(PRECAST_ERROR_USE, "immutable", precast_global_set(store, global, &value));
    must(precast_global_new(store, "f64", true, &value, &global));
    FAILS(PRECAST_ERROR_USE, "not a type", precast_global_new(store, "i8", 1, &value, &global));
    FAILS(PRECAST_ERROR_USE, "not a function",
          precast_instance_func(store, instance, "memory", &value.of.funcref));
    FAILS(PRECAST_ERROR_USE, "no export `nothing`",
          precast_instance_table(store, instance, "nothing", &table));
    uint64_t fuel;
    FAILS(PRECAST_ERROR_USE, "--fuel", precast_instance_fuel(store, instance, &fuel));
    precast_store_delete(store);
}

static void modules(precast_module *module, precast_linker *linker) {
    CHECK(strcmp(precast_module_name(module), "guest") == 0);
    CHECK(precast_module_import_count(module) == 1);
    precast_item item;
    must(precast_module_import(module, 0, &item));
    CHECK(strcmp(item.module, "host") == 0 && strcmp(item.name, "f") == 0);
    CHECK(item.kind == PRECAST_FUNC && strcmp(item.type, "(i32) -> (i32)") == 0);
    FAILS(PRECAST_ERROR_USE, "none is 1", precast_module_import(module, 1, &item));
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    size_t count = precast_module_export_count(module);
    CHECK(count == 14);
    for (size_t i = 0; i < count; i++) {
        precast_extern found;
        must(precast_module_export(module, i, &item));
        must(precast_instance_export(store, instance, i, &found));
        CHECK(found.kind == item.kind && strlen(item.name) == item.name_length);
    }
    precast_extern found;
    FAILS(PRECAST_ERROR_USE, "none is 14", precast_instance_export(store, instance, 14, &found));
    size_t length;
    CHECK(precast_module_custom_section(module, "nothing", &length) == NULL);

    /* Linking one instance with another. */
    precast_linker *second;
    must(precast_linker_new(&second));
    precast_extern item_of_store = {PRECAST_FUNC, {{{0, 0}}}};
    FAILS(PRECAST_ERROR_USE, "zero",
          precast_linker_define(second, store, "host", "f", &item_of_store));
    must(precast_instance_func(store, instance, "double", &item_of_store.of.func));
    must(precast_linker_define(second, store, "host", "f", &item_of_store));
    precast_instance linked;
    must(precast_linker_instantiate(second, store, module, &linked));
    precast_error *error;
    int32_t answer;
    call(store, linked, "call_host", 9, &error, &answer);
    must(error);
    CHECK(answer == 18);
    precast_template *template;
    FAILS(PRECAST_ERROR_POOL, "belongs to a store",
          precast_template_new(second, module, &template));
    CHECK(template == NULL);
    precast_linker_delete(second);
    must(precast_linker_new(&second));
    FAILS(PRECAST_ERROR_LINK, "host::f",
          precast_linker_instantiate(second, store, module, &linked));
    precast_linker_delete(second);
    precast_store_delete(store);

    FAILS(PRECAST_ERROR_OBJECT, "cannot open",
          precast_module_open("/there/is/nothing", &module));
    CHECK(module == NULL);
    FAILS(PRECAST_ERROR_OBJECT, "empty file", precast_module_from_bytes(NULL, 0, &module));
    FAILS(PRECAST_ERROR_OBJECT, "WebAssembly module",
          precast_module_from_bytes((const uint8_t *)"\0asm\1\0\0\0", 8, &module));
    static const uint64_t zeros[64];
    FAILS(PRECAST_ERROR_OBJECT, "damaged", precast_module_from_static(zeros, &module));
    FAILS(PRECAST_ERROR_OBJECT, "empty file", precast_module_from_static(NULL, &module));
}

static void *use_store(void *store) {
    precast_val value = precast_val_i64(0);
    precast_global global;
    return precast_global_new(store, "i64", true, &value, &global);
}

static precast_error *use_elsewhere(void *env, precast_caller *caller, const precast_val *args,
                                    size_t arg_count, precast_val *results, size_t result_count) {
    (void)caller, (void)args, (void)arg_count, (void)results, (void)result_count;
    pthread_t thread;
    void *error;
    CHECK(pthread_create(&thread, NULL, use_store, *(precast_store **)env) == 0);
    CHECK(pthread_join(thread, &error) == 0);
    FAILS(PRECAST_ERROR_USE, "another thread", error);
    return NULL;
}

static void use_linker(void *linker_and_module) {
    void **both = linker_and_module;
    precast_template *template;
    FAILS(PRECAST_ERROR_USE, "in use", precast_template_new(both[0], both[1], &template));
    finalized++;
}

static void misuse(precast_module *module) {
    CHECK(strcmp(precast_version(), PRECAST_VERSION) == 0);
    /* Nothing, everywhere. */
    precast_error_delete(NULL);
    precast_module_delete(NULL);
    precast_linker_delete(NULL);
    precast_store_delete(NULL);
    precast_interrupt_delete(NULL);
    precast_pool_delete(NULL);
    precast_template_delete(NULL);
    precast_sandbox_delete(NULL);
    precast_wasi_delete(NULL);
    precast_string_delete(NULL);
    precast_interrupt_kill(NULL);
    CHECK(precast_error_get_kind(NULL) == 0 && precast_error_message(NULL)[0] == 0);
    CHECK(precast_error_report(NULL)[0] == 0 && precast_error_frame_count(NULL) == 0);
    CHECK(!precast_error_frame(NULL, 0, NULL) && precast_module_name(NULL)[0] == 0);
    CHECK(precast_store_data(NULL) == NULL && precast_store_memory_bytes(NULL) == 0);
    CHECK(!precast_caller_instance(NULL, NULL) && !precast_caller_interrupted(NULL));
    CHECK(precast_caller_store(NULL) == NULL && precast_sandbox_store(NULL) == NULL);
    CHECK(precast_sandbox_instance(NULL).words[0] == 0);
    precast_module *none;
    FAILS(PRECAST_ERROR_USE, "null", precast_module_open(NULL, &none));
    CHECK(none == NULL);
    FAILS(PRECAST_ERROR_USE, "null", precast_module_open("x", NULL));
    FAILS(PRECAST_ERROR_USE, "null", precast_linker_new(NULL));
    FAILS(PRECAST_ERROR_USE, "null", precast_linker_define_wasi(NULL));
    FAILS(PRECAST_ERROR_USE, "null", precast_store_set_timeout(NULL, 1));
    FAILS(PRECAST_ERROR_USE, "null", precast_sandbox_reset(NULL));
    FAILS(PRECAST_ERROR_USE, "null", precast_wasi_arg(NULL, "x"));
    finalized = 0;
    FAILS(PRECAST_ERROR_USE, "null", precast_store_new(NULL, &finalized, finalize, NULL));
    FAILS(PRECAST_ERROR_USE, "null",
          precast_linker_define_func(NULL, "a", "b", "->", use_elsewhere, &finalized, finalize));
    CHECK(finalized == 2);
    precast_error *general = precast_error_new(NULL);
    FAILS(PRECAST_ERROR_HOST, "host failed", general);
    general = precast_error_new("not \xff text");
    FAILS(PRECAST_ERROR_HOST, "host failed", general);

    precast_linker *linker;
    must(precast_linker_new(&linker));
    /* A finalizer that uses what is being changed. */
    void *both[2] = {linker, module};
    must(precast_linker_define_func(linker, "a", "b", "->", use_elsewhere, both, use_linker));
    must(precast_linker_define_func(linker, "a", "b", "->", use_elsewhere, NULL, NULL));
    CHECK(finalized == 3);
    const char *types[] = {"", "i32", "(i32", "i33 -> i32", "i32 -> \xff"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        precast_error *error =
            precast_linker_define_func(linker, "a", "b", types[i], use_elsewhere, NULL, NULL);
        CHECK(precast_error_get_kind(error) == PRECAST_ERROR_USE);
        precast_error_delete(error);
    }
    FAILS(PRECAST_ERROR_USE, "null",
          precast_linker_define_func(linker, "a", "b", "->", NULL, NULL, NULL));
    precast_store_options options = {0};
    precast_store *store;
    FAILS(PRECAST_ERROR_USE, "size", precast_store_new(&options, NULL, NULL, &store));
    CHECK(store == NULL);
    must(precast_store_new(NULL, NULL, NULL, &store));
    must(precast_linker_define_func(linker, "host", "f", "i32 -> i32", use_elsewhere, &store,
                                    NULL));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_error *error;
    int32_t answer;
    call(store, instance, "call_host", 1, &error, &answer);
    must(error);
    precast_interrupt *interrupt;
    must(precast_interrupt_new(store, &interrupt));
    precast_interrupt_kill(interrupt);
    CHECK(precast_interrupt_is_killed(interrupt));
    call(store, instance, "double", 1, &error, &answer);
    CHECK(precast_error_get_interruption(error) == PRECAST_INTERRUPTION_KILLED);
    FAILS(PRECAST_ERROR_TRAP, "interrupted", error);
    precast_store_delete(store);
    precast_interrupt_kill(interrupt);
    precast_interrupt_delete(interrupt);
    precast_linker_delete(linker);
}

static precast_error *host_later(void *env, precast_caller *caller, const precast_val *args,
                                 size_t arg_count, precast_val *results, size_t result_count) {
    (void)args, (void)arg_count, (void)results, (void)result_count;
    precast_call *call;
    precast_func none = {{0, 0}};
    FAILS(PRECAST_ERROR_USE, "null",
          precast_call_start(precast_caller_store(caller), none, NULL, 0, NULL));
    precast_instance instance;
    CHECK(precast_caller_instance(caller, &instance));
    precast_func func;
    must(precast_instance_func(precast_caller_store(caller), instance, "unreachable", &func));
    FAILS(PRECAST_ERROR_USE, "host function",
          precast_call_start(precast_caller_store(caller), func, NULL, 0, &call));
    CHECK(call == NULL);
    return precast_error_new_suspend(env);
}

static void *resume(void *call) {
    return precast_call_resume(call);
}

/* On a thread of its own. */
static precast_error *resume_elsewhere(precast_call *call) {
    pthread_t thread;
    void *error;
    CHECK(pthread_create(&thread, NULL, resume, call) == 0);
    CHECK(pthread_join(thread, &error) == 0);
    return error;
}

static void answers_later(precast_store *store, precast_instance instance, int *note) {
    precast_func func;
    must(precast_instance_func(store, instance, "call_host", &func));
    precast_memory memory;
    must(precast_instance_memory(store, instance, "memory", &memory));
    precast_val value = precast_val_i32(1), result = precast_val_i32(-1);
    precast_val wide = precast_val_i64(1);
    precast_call *call;
    /* A call that cannot wait. */
    FAILS(PRECAST_ERROR_USE, "wait", precast_func_call(store, func, &value, 1, &result, 1));
    FAILS(PRECAST_ERROR_USE, "expected", precast_call_start(store, func, &wide, 1, &call));
    CHECK(call == NULL);

    must(precast_call_start(store, func, &value, 1, &call));
    CHECK(precast_call_get_state(call) == PRECAST_CALL_NEEDS_ANSWER);
    CHECK(precast_call_take_note(call) == note && precast_call_take_note(call) == NULL);
    FAILS(PRECAST_ERROR_USE, "suspended", precast_func_call(store, func, &value, 1, &result, 1));
    FAILS(PRECAST_ERROR_USE, "no results", precast_call_results(call, &result, 1));
    uint8_t byte = 9;
    must(precast_memory_write(store, memory, 300, &byte, 1));
    FAILS(PRECAST_ERROR_USE, "results", precast_call_give(call, NULL, 0));
    FAILS(PRECAST_ERROR_USE, "", precast_call_give(call, &wide, 1));
    value.of.i32 = 41;
    must(precast_call_give(call, &value, 1));
    must(resume_elsewhere(call));
    CHECK(precast_call_get_state(call) == PRECAST_CALL_DONE);
    FAILS(PRECAST_ERROR_USE, "1 results", precast_call_results(call, NULL, 0));
    must(precast_call_results(call, &result, 1));
    CHECK(result.kind == PRECAST_I32 && result.of.i32 == 41);
    FAILS(PRECAST_ERROR_USE, "does not wait", precast_call_resume(call));
    FAILS(PRECAST_ERROR_USE, "does not wait", precast_call_give(call, &value, 1));
    precast_call_delete(call);

    /* Given up: by going on without an answer, and by being deleted. */
    must(precast_call_start(store, func, &value, 1, &call));
    FAILS(PRECAST_ERROR_USE, "results", precast_call_resume(call));
    CHECK(precast_call_get_state(call) == PRECAST_CALL_FAILED);
    precast_call_delete(call);
    must(precast_call_start(store, func, &value, 1, &call));
    precast_call_delete(call);
    must(precast_instance_func(store, instance, "double", &func));
    must(precast_func_call(store, func, &value, 1, &result, 1));
    CHECK(result.of.i32 == 82);
    must(precast_call_start(store, func, &value, 1, &call));
    CHECK(precast_call_get_state(call) == PRECAST_CALL_DONE);
    precast_call_delete(call);
    precast_call_delete(NULL);
    CHECK(precast_call_get_state(NULL) == PRECAST_CALL_FAILED);
    CHECK(precast_call_take_note(NULL) == NULL);
    FAILS(PRECAST_ERROR_USE, "null", precast_call_resume(NULL));
}

static void waiting_calls(precast_module *module) {
    precast_linker *linker;
    must(precast_linker_new(&linker));
    int note;
    must(precast_linker_define_func(linker, "host", "f", "(i32) -> (i32)", host_later, &note, NULL));
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    answers_later(store, instance, &note);

    /* Slices of time. */
    precast_func func;
    must(precast_instance_func(store, instance, "count_to", &func));
    precast_val value = precast_val_i32(200 * 1000 * 1000), result = precast_val_i32(-1);
    must(precast_store_set_time_slice(store, 1000 * 1000));
    precast_call *call;
    must(precast_call_start(store, func, &value, 1, &call));
    int slices = 0;
    while (precast_call_get_state(call) == PRECAST_CALL_NEEDS_TIME) {
        must(++slices % 2 == 0 ? resume_elsewhere(call) : precast_call_resume(call));
    }
    CHECK(slices > 3);
    must(precast_call_results(call, &result, 1));
    CHECK(result.of.i32 == value.of.i32);
    precast_call_delete(call);
    /* Calls that cannot wait run to their end. */
    must(precast_func_call(store, func, &value, 1, &result, 1));
    /* What waits can be killed. */
    must(precast_call_start(store, func, &value, 1, &call));
    CHECK(precast_call_get_state(call) == PRECAST_CALL_NEEDS_TIME);
    precast_interrupt *interrupt;
    must(precast_interrupt_new(store, &interrupt));
    precast_interrupt_kill(interrupt);
    FAILS(PRECAST_ERROR_TRAP, "interrupted", precast_call_resume(call));
    precast_call_delete(call);
    precast_interrupt_delete(interrupt);
    precast_store_delete(store);
    precast_linker_delete(linker);
}

/* A copy of the object, signed, and the key. */
static void trusted_modules(const char *object, const char *signed_object, const char *key) {
    static const char other[] = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const char *keys[] = {other, key};
    precast_module *module;
    must(precast_module_open_trusted(signed_object, keys, 2, &module));
    precast_module_delete(module);
    FAILS(PRECAST_ERROR_OBJECT, "not signed", precast_module_open_trusted(object, keys, 2, &module));
    FAILS(PRECAST_ERROR_OBJECT, "not trusted",
          precast_module_open_trusted(signed_object, keys, 1, &module));
    FAILS(PRECAST_ERROR_OBJECT, "not trusted",
          precast_module_open_trusted(signed_object, NULL, 0, &module));
    keys[0] = "no key";
    FAILS(PRECAST_ERROR_USE, "no public key",
          precast_module_open_trusted(signed_object, keys, 2, &module));
    keys[0] = NULL;
    FAILS(PRECAST_ERROR_USE, "a key is null",
          precast_module_open_trusted(signed_object, keys, 2, &module));
    keys[0] = key;
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(signed_object, "rb");
    CHECK(file != NULL);
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    CHECK(length > 1000 && length < sizeof bytes);
    must(precast_module_from_trusted_bytes(bytes, length, keys, 1, &module));
    precast_module_delete(module);
    bytes[length / 2] ^= 1;
    FAILS(PRECAST_ERROR_OBJECT, "changed",
          precast_module_from_trusted_bytes(bytes, length, keys, 1, &module));
    CHECK(module == NULL);
}

static void pools(precast_module *module, precast_linker *linker) {
    precast_pool_options options = PRECAST_POOL_OPTIONS;
    options.slots = 2;
    options.verify = 1;
    precast_pool *pool;
    must(precast_pool_new(&options, &pool));
    precast_template *template;
    must(precast_template_new(linker, module, &template));
    precast_template_func func;
    must(precast_template_get_func(template, "double", "(i32) -> (i32)", &func));
    FAILS(PRECAST_ERROR_USE, "no export",
          precast_template_get_func(template, "nothing", "(i32) -> (i32)", &func));
    finalized = 0;
    precast_sandbox *first, *second, *third;
    must(precast_sandbox_new(pool, template, 1, &finalized, finalize, &first));
    must(precast_sandbox_new(pool, template, 2, NULL, NULL, &second));
    FAILS(PRECAST_ERROR_POOL, "slots of the pool are in use",
          precast_sandbox_new(pool, template, 3, &finalized, finalize, &third));
    CHECK(third == NULL && finalized == 1);
    precast_store *store = precast_sandbox_store(first);
    CHECK(precast_store_data(store) == &finalized);
    precast_instance instance = precast_sandbox_instance(first);
    precast_memory memory;
    must(precast_instance_memory(store, instance, "memory", &memory));
    must(precast_memory_write(store, memory, 0, (const uint8_t *)"secret", 6));
    uint8_t *range;
    must(precast_memory_range(store, memory, 65536, 6, &range));
    memcpy(range, "secret", 6);
    precast_typed_func here, there;
    must(precast_sandbox_bind(first, &func, &here));
    must(precast_sandbox_bind(second, &func, &there));
    int32_t answer;
    must(precast_call_i_i(store, &here, 4, &answer));
    FAILS(PRECAST_ERROR_USE, "another store", precast_call_i_i(store, &there, 4, &answer));
    must(precast_sandbox_reset(first));
    FAILS(PRECAST_ERROR_USE, "another store", precast_call_i_i(store, &here, 4, &answer));
    FAILS(PRECAST_ERROR_USE, "another store", precast_memory_write(store, memory, 0, range, 1));
    instance = precast_sandbox_instance(first);
    must(precast_instance_memory(store, instance, "memory", &memory));
    const uint8_t *view;
    size_t length;
    must(precast_memory_view(store, memory, &view, &length));
    CHECK(memcmp(view, "abc\0\0\0", 6) == 0 && view[65536] == 0);
    /* It is the sandbox's. */
    precast_store_delete(store);
    must(precast_memory_view(store, memory, &view, &length));
    must(precast_store_set_timeout(store, PRECAST_NO_LIMIT));
    precast_sandbox_delete(first);
    CHECK(finalized == 2);
    precast_pool_stats stats;
    must(precast_pool_get_stats(pool, &stats));
    CHECK(stats.live == 1 && stats.warm == 1 && stats.unclean == 0 && stats.lost == 0);
    precast_pool_delete(pool);
    precast_template_delete(template);
    must(precast_sandbox_bind(second, &func, &there));
    must(precast_call_i_i(precast_sandbox_store(second), &there, 4, &answer));
    CHECK(answer == 8);
    precast_sandbox_delete(second);
}

static void wasi_descriptions(void) {
    precast_wasi *wasi;
    must(precast_wasi_new(&wasi));
    FAILS(PRECAST_ERROR_WASI, "there/is/nothing",
          precast_wasi_preopen_dir(wasi, "/there/is/nothing", "/", true));
    FAILS(PRECAST_ERROR_WASI, "descriptor 1000", precast_wasi_stdin_fd(wasi, 1000));
    FAILS(PRECAST_ERROR_USE, "not a descriptor", precast_wasi_output_fd(wasi, 1, -1));
    FAILS(PRECAST_ERROR_USE, "neither", precast_wasi_capture(wasi, 3, 0));
    FAILS(PRECAST_ERROR_WASI, "nothing", precast_wasi_stdin_file(wasi, "/there/is/nothing"));
    must(precast_wasi_env(wasi, "a=b", "c"));
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    FAILS(PRECAST_ERROR_WASI, "a=b", precast_store_set_wasi(store, wasi));
    const uint8_t *data;
    size_t length;
    must(precast_store_captured(store, PRECAST_STDERR, &data, &length));
    CHECK(length == 0);
    precast_store_delete(store);
    precast_wasi_delete(wasi);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    precast_module *module;
    must(precast_module_open(argv[1], &module));
    precast_linker *linker;
    must(precast_linker_new(&linker));
    struct host host = {DEFINE, NULL, linker, 0};
    must(precast_linker_define_func(linker, "host", "f", "(i32) -> (i32)", host_f, &host, NULL));
    host_functions(module);
    raw_functions(module);
    traps(module, linker);
    values(module, linker);
    memories(module, linker);
    tables_and_globals(module, linker);
    modules(module, linker);
    misuse(module);
    waiting_calls(module);
    trusted_modules(argv[1], argv[2], argv[3]);
    pools(module, linker);
    wasi_descriptions();
    precast_linker_delete(linker);
    precast_module_delete(module);
    puts("done");
    return 0;
}
