/* Precast for C and C++: loads WebAssembly that was compiled ahead of time, and runs it in sandboxes.
 *
 * C11 or later, C++11 or later; Linux. Link with libprecast.a (and -lpthread -ldl -lm -lgcc_s) or
 * libprecast.so. docs/embedding-c.md is a guide, examples/c has programs.
 *
 *   precast_module *module;
 *   precast_error *error = precast_module_open("add.so", &module);
 *   ...
 *
 * OWNERSHIP. What a function with `_new` in its name, or precast_module_open and its like, puts in
 * its last parameter belongs to the program, which ends it with the `_delete` of its type. Deleting
 * NULL does nothing. Pointers that come in any other way are borrowed: the function says for how
 * long. Strings and arrays that are passed in are copied, or used only during the call. Records such
 * as precast_func or precast_memory are plain values that need no deleting: they name something in a
 * store, and are of no use once that is gone.
 *
 * ERRORS. A function that can fail returns NULL if it did not, or an error that belongs to the
 * program: look at it with the functions below, and end it with precast_error_delete. A result is
 * set to NULL or zeros where there is an error. Null pointers, handles of another store, stores that
 * are in use and strings that are not UTF-8 are errors of the kind PRECAST_ERROR_USE; a pointer that
 * is not null is followed. What a function says of errors comes on top of those.
 *
 * TRUST. Objects are native code. To open one is to trust whoever made it as if its code were a part
 * of the program; what the guest in it does is what is confined.
 *
 * THREADS. Modules, pools, templates, interrupts and errors may be used by several threads at once,
 * and linkers too while no one defines anything. A store (so: a sandbox) may be used by any thread,
 * but by one at a time: another one that comes meanwhile gets an error. A WASI description is for
 * one thread at a time.
 *
 * SIGNALS. Guests fault on purpose: the first run of one installs handlers for SIGSEGV, SIGBUS,
 * SIGILL, SIGFPE and SIGURG. Faults that are not a guest's go to the handlers that were there before.
 *
 * EXCEPTIONS, longjmp. Neither may leave a host function.
 *
 * UNITS. Lengths and offsets are in bytes, memories in pages of 65536 bytes, times in nanoseconds.
 */
#ifndef PRECAST_H
#define PRECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PRECAST_MUST_USE __attribute__((warn_unused_result))
#else
#define PRECAST_MUST_USE
#endif

/* The version that this header is of. */
#define PRECAST_VERSION "0.1.0"

/* The version of the library, as "0.1.0". Never NULL. */
const char *precast_version(void);

/* Stands for "no limit" where a limit can be given. */
#define PRECAST_NO_LIMIT UINT64_MAX

typedef struct precast_error precast_error;         /* why something failed */
typedef struct precast_module precast_module;       /* an object that was opened */
typedef struct precast_linker precast_linker;       /* names for imports to find */
typedef struct precast_store precast_store;         /* what instances live in */
typedef struct precast_caller precast_caller;       /* the guest that calls a host function */
typedef struct precast_call precast_call;           /* a call that may wait */
typedef struct precast_interrupt precast_interrupt; /* stops guests from any thread */
typedef struct precast_pool precast_pool;           /* slots for sandboxes */
typedef struct precast_template precast_template;   /* a module with its imports, for pools */
typedef struct precast_sandbox precast_sandbox;     /* a slot in use */
typedef struct precast_wasi precast_wasi;           /* a description of a guest's world */

/* Ends what a pointer of the program's points to. Called once, from the thread that ends the owner, which
 * it must not use. */
typedef void (*precast_finalizer)(void *data);

/* ------------------------------------------------------------------------------------ errors */

/* Who is at fault. */
typedef enum precast_error_kind {
    PRECAST_ERROR_TRAP = 1,    /* the guest trapped: see precast_error_get_trap */
    PRECAST_ERROR_HOST = 2,    /* a host function failed */
    PRECAST_ERROR_EXIT = 3,    /* the guest ended itself: see precast_error_get_exit */
    PRECAST_ERROR_LINK = 4,    /* imports are missing or of other types; all are in the message */
    PRECAST_ERROR_LIMIT = 5,   /* a limit of the store was reached */
    PRECAST_ERROR_USE = 6,     /* the program used the library in a wrong way */
    PRECAST_ERROR_OBJECT = 7,  /* the object cannot be opened: missing, damaged, for another CPU, ... */
    PRECAST_ERROR_SYSTEM = 8,  /* the system refused memory or address space */
    PRECAST_ERROR_POOL = 9,    /* a pool has no slot for this */
    PRECAST_ERROR_WASI = 10,   /* a guest's world cannot be made as described */
    PRECAST_ERROR_INTERNAL = 11, /* a bug of Precast */
    PRECAST_ERROR_EXCEPTION = 12 /* the guest threw an exception and did not catch it */
} precast_error_kind;

/* Why a guest was stopped. */
typedef enum precast_trap_code {
    PRECAST_TRAP_NONE = 0, /* the error is no trap */
    PRECAST_TRAP_STACK_OVERFLOW = 1,
    PRECAST_TRAP_MEMORY_OUT_OF_BOUNDS = 2,
    PRECAST_TRAP_TABLE_OUT_OF_BOUNDS = 3,
    PRECAST_TRAP_UNDEFINED_ELEMENT = 4,
    PRECAST_TRAP_UNINITIALIZED_ELEMENT = 5,
    PRECAST_TRAP_INDIRECT_CALL_TYPE_MISMATCH = 6,
    PRECAST_TRAP_INTEGER_OVERFLOW = 7,
    PRECAST_TRAP_INTEGER_DIVIDE_BY_ZERO = 8,
    PRECAST_TRAP_INVALID_CONVERSION_TO_INTEGER = 9,
    PRECAST_TRAP_UNREACHABLE = 10,
    PRECAST_TRAP_NULL_REFERENCE = 11,
    PRECAST_TRAP_UNALIGNED_ATOMIC = 12,
    PRECAST_TRAP_INTERRUPTED = 13, /* see precast_error_get_interruption */
    PRECAST_TRAP_OUT_OF_FUEL = 14,
    PRECAST_TRAP_EXPECTED_SHARED_MEMORY = 15,
    PRECAST_TRAP_EXCEPTIONS_EXHAUSTED = 16
} precast_trap_code;

/* What interrupted a guest. Later versions may add some. */
typedef enum precast_interruption {
    PRECAST_INTERRUPTION_NONE = 0,
    PRECAST_INTERRUPTION_KILLED = 1,    /* precast_interrupt_kill */
    PRECAST_INTERRUPTION_TIMEOUT = 2,   /* precast_store_set_timeout */
    PRECAST_INTERRUPTION_CPU_BUDGET = 3 /* precast_store_set_cpu_budget */
} precast_interruption;

/* A call of a guest function on the way to an error. The strings live as long as the error. */
typedef struct precast_frame {
    const char *module;      /* name of the module; may be empty, never NULL */
    const char *function;    /* name of the function; NULL where the module has none */
    uint32_t function_index; /* index in the module's function index space */
    bool has_offset;         /* whether wasm_offset is known */
    uint32_t wasm_offset;    /* where in the module's file it was */
} precast_frame;

/* For a host function to return: it failed, and this is what the caller of the guest gets. A NULL
 * message, or one that is not UTF-8, becomes a general one. Never NULL. */
precast_error *precast_error_new(const char *message);

/* For a host function to return: the guest traps. A number that is not a code is `unreachable`.
 * Never NULL. */
precast_error *precast_error_new_trap(uint32_t code);

/* For a host function to return that cannot answer yet: the guest waits, if it was started by
 * precast_call_start and no other host function waits for it; else that call fails. `note` is for whoever
 * goes on with it: see precast_call_take_note. Never NULL. */
precast_error *precast_error_new_suspend(void *note);

void precast_error_delete(precast_error *error);

/* A precast_error_kind; 0 for NULL. */
uint32_t precast_error_get_kind(const precast_error *error);

/* What is wrong, in one line without a newline. Borrowed from the error; "" for NULL. */
const char *precast_error_message(const precast_error *error);

/* The message, and the frames of the guest in a line each. Borrowed from the error; "" for NULL. */
const char *precast_error_report(const precast_error *error);

/* A precast_trap_code; PRECAST_TRAP_NONE where it is no trap. */
uint32_t precast_error_get_trap(const precast_error *error);

/* A precast_interruption. */
uint32_t precast_error_get_interruption(const precast_error *error);

/* Whether the guest ended itself (WASI's proc_exit), and its exit code: 0 is success. `code` may be
 * NULL. */
bool precast_error_get_exit(const precast_error *error, uint32_t *code);

/* How many frames are known, innermost first, and how many were left out in the middle of them. */
size_t precast_error_frame_count(const precast_error *error);
size_t precast_error_frames_omitted(const precast_error *error);

/* Frame `index`; false where there is none. */
bool precast_error_frame(const precast_error *error, size_t index, precast_frame *frame);

/* ------------------------------------------------------------------------------------ values */

/* Handles: things in a store. All zeros stand for none; what is in them is the library's own. */
typedef struct precast_instance { uint64_t words[2]; } precast_instance;
typedef struct precast_func { uint64_t words[2]; } precast_func;
typedef struct precast_memory { uint64_t words[2]; } precast_memory;
typedef struct precast_table { uint64_t words[2]; } precast_table;
typedef struct precast_global { uint64_t words[3]; } precast_global;
typedef struct precast_externref { uint64_t words[2]; } precast_externref;
typedef struct precast_exnref { uint64_t words[2]; } precast_exnref;

/** A garbage-collected object of a guest's, or what may stand in its place. What a function of the host
 * is given is good until that function returns. */
typedef struct precast_anyref { uint64_t words[2]; } precast_anyref;
typedef struct precast_tag { uint64_t words[2]; } precast_tag;

/* A 128-bit vector: 16 bytes, lane 0 first. */
typedef struct precast_v128 { uint8_t bytes[16]; } precast_v128;

typedef enum precast_kind {
    PRECAST_I32 = 1,
    PRECAST_I64 = 2,
    PRECAST_F32 = 3,
    PRECAST_F64 = 4,
    PRECAST_V128 = 5,
    PRECAST_FUNCREF = 6,  /* null is all zeros */
    PRECAST_EXTERNREF = 7, /* null is all zeros */
    PRECAST_EXNREF = 8,    /* null is all zeros */
    PRECAST_ANYREF = 9     /* null is all zeros */
} precast_kind;

/* A value: the member that `kind` names. */
typedef struct precast_val {
    uint32_t kind; /* a precast_kind */
    union {
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
        precast_v128 v128;
        precast_func funcref;
        precast_externref externref;
        precast_exnref exnref;
        precast_anyref anyref;
        uint64_t words[2]; /* all of it */
    } of;
} precast_val;

static inline precast_val precast_val_i32(int32_t value) {
    precast_val val = {PRECAST_I32, {0}};
    val.of.i32 = value;
    return val;
}

static inline precast_val precast_val_i64(int64_t value) {
    precast_val val = {PRECAST_I64, {0}};
    val.of.i64 = value;
    return val;
}

static inline precast_val precast_val_f32(float value) {
    precast_val val = {PRECAST_F32, {0}};
    val.of.f32 = value;
    return val;
}

static inline precast_val precast_val_f64(double value) {
    precast_val val = {PRECAST_F64, {0}};
    val.of.f64 = value;
    return val;
}

/* The types of functions are given as text: "(i32, f64) -> (i64)", also "i32 f64 -> i64" and "->".
 * The types of values: i32, i64, f32, f64, v128, funcref, externref, exnref, anyref. */

/* Something that can be imported or exported. */
typedef enum precast_extern_kind {
    PRECAST_FUNC = 1,
    PRECAST_TABLE = 2,
    PRECAST_MEMORY = 3,
    PRECAST_GLOBAL = 4,
    PRECAST_TAG = 5
} precast_extern_kind;

typedef struct precast_extern {
    uint32_t kind; /* a precast_extern_kind */
    union {
        precast_func func;
        precast_table table;
        precast_memory memory;
        precast_global global;
        precast_tag tag;
    } of;
} precast_extern;

/* ----------------------------------------------------------------------------------- modules */

/* Opens an object that `precast compile` made. A few system calls, whatever its size; its pages are
 * shared between processes. The file must not be written to or cut short while it is open: replace
 * it by renaming another one over it. */
PRECAST_MUST_USE precast_error *precast_module_open(const char *path, precast_module **module);

/* Opens a copy of an object, which nobody can change any more. */
PRECAST_MUST_USE precast_error *precast_module_open_sealed(const char *path, precast_module **module);

/* Opens a copy of an object, if one of these keys has signed it: with `precast sign`, or by hand as
 * docs/abi.md says. The copy that is checked is the one that is run, whatever happens to the file, which may
 * come from anywhere. A key is the text of a public key's file, or its second line. */
PRECAST_MUST_USE precast_error *precast_module_open_trusted(const char *path, const char *const *keys,
                                                            size_t key_count,
                                                            precast_module **module);
PRECAST_MUST_USE precast_error *precast_module_from_trusted_bytes(const uint8_t *bytes, size_t length,
                                                                  const char *const *keys,
                                                                  size_t key_count,
                                                                  precast_module **module);

/* Opens a copy of an object that is in memory. */
PRECAST_MUST_USE precast_error *precast_module_from_bytes(const uint8_t *bytes, size_t length,
                                                          precast_module **module);

/* Opens an object that the linker made part of this program: `object` is its symbol, from `precast
 * compile --emit obj --symbol NAME`, which the header of `--emit header` declares. No file is opened
 * and no page is made executable. The code stays known until the program ends, whenever the module
 * is deleted; so it must not be in a library that is unloaded. */
PRECAST_MUST_USE precast_error *precast_module_from_static(const void *object,
                                                           precast_module **module);

/* Instances, stores and templates that use the module are not affected. */
void precast_module_delete(precast_module *module);

/* The name that the module gives itself; "" where it gives none. Borrowed from the module. */
const char *precast_module_name(const precast_module *module);

/* An import or export. The strings live as long as the module. */
typedef struct precast_item {
    const char *module; /* of an import: where it is to come from; "" for exports */
    const char *name;   /* up to its first zero byte: names may hold any */
    size_t name_length; /* bytes of the whole name */
    uint32_t kind;      /* a precast_extern_kind */
    const char *type;   /* in words; of a function, as functions here take it */
} precast_item;

/* How many imports it has, in the module's order, and exports, ordered by name. */
size_t precast_module_import_count(const precast_module *module);
size_t precast_module_export_count(const precast_module *module);
PRECAST_MUST_USE precast_error *precast_module_import(const precast_module *module, size_t index,
                                                      precast_item *item);
PRECAST_MUST_USE precast_error *precast_module_export(const precast_module *module, size_t index,
                                                      precast_item *item);

/* The contents of a custom section that the compiler kept, or NULL. Borrowed from the module. */
const uint8_t *precast_module_custom_section(const precast_module *module, const char *name,
                                             size_t *length);

/* ------------------------------------------------------------------------------------ stores */

/* Zero is the default everywhere. Begin it with its size: `precast_store_options options =
 * {.size = sizeof options, .memory_bytes = 64 << 20};` or PRECAST_STORE_OPTIONS. */
typedef struct precast_store_options {
    size_t size;             /* sizeof(precast_store_options) */
    uint64_t memory_bytes;   /* most linear memory of all instances; no limit */
    uint64_t table_elements; /* most elements of all tables; ten million */
    uint64_t instances;      /* most instances; a million */
    uint64_t stack_size;     /* bytes for the guests' code, 16 KiB to 1 GiB; 1 MiB */
    uint64_t max_nesting;    /* how deeply guests and host functions call each other; 1000 */
    uint64_t fuel;           /* of each instance, where it counts; all there is */
} precast_store_options;

#define PRECAST_STORE_OPTIONS {sizeof(precast_store_options), 0, 0, 0, 0, 0, 0}

/* A store: what instances that are linked with each other live in, and something of the program's
 * beside them. `options` may be NULL, and so may `data` and `finalizer`, which is called with `data`
 * when the store ends, or now if it cannot be made. */
PRECAST_MUST_USE precast_error *precast_store_new(const precast_store_options *options, void *data,
                                                  precast_finalizer finalizer,
                                                  precast_store **store);

/* Ends all that is in it. Does nothing to a store that is borrowed, and nothing while a guest of it
 * runs: a host function cannot end the store that it is called in. */
void precast_store_delete(precast_store *store);

/* The `data` that it was made with (of a sandbox: that of precast_sandbox_new). NULL where the store is in
 * use: a host function asks the store of its caller. */
void *precast_store_data(const precast_store *store);

/* Bytes of linear memory that its instances have. 0 where the store is in use, and in a host function. */
uint64_t precast_store_memory_bytes(const precast_store *store);

/* Calls into this store end `nanoseconds` from now, the one that runs then and all later ones until
 * another timeout is set: they fail with PRECAST_TRAP_INTERRUPTED. Costs the guest nothing.
 * PRECAST_NO_LIMIT takes it away. Not for host functions. */
PRECAST_MUST_USE precast_error *precast_store_set_timeout(precast_store *store,
                                                          uint64_t nanoseconds);

/* How much CPU time calls into this store may use from now on, all together. */
PRECAST_MUST_USE precast_error *precast_store_set_cpu_budget(precast_store *store,
                                                             uint64_t nanoseconds);

/* Calls that were started by precast_call_start wait after every `nanoseconds` that they have run, for
 * precast_call_resume: so that a thread can run many guests in turn. Other calls are not affected.
 * PRECAST_NO_LIMIT takes it away. Not for host functions. */
PRECAST_MUST_USE precast_error *precast_store_set_time_slice(precast_store *store,
                                                             uint64_t nanoseconds);

/* A handle with which any thread can stop the guests of a store, whenever. It may outlive the store.
 * Make it before the guest runs, or in a host function. */
PRECAST_MUST_USE precast_error *precast_interrupt_new(precast_store *store,
                                                      precast_interrupt **interrupt);

/* Stops the guests for good: what runs, and whatever is called later. Without effect on whoever uses
 * the slot of a sandbox after it. */
void precast_interrupt_kill(const precast_interrupt *interrupt);
bool precast_interrupt_is_killed(const precast_interrupt *interrupt);
void precast_interrupt_delete(precast_interrupt *interrupt);

/* ----------------------------------------------------------------- linking and host functions */

PRECAST_MUST_USE precast_error *precast_linker_new(precast_linker **linker);

/* What was instantiated with it is not affected. */
void precast_linker_delete(precast_linker *linker);

/* A function of the host. `args` has as many values as its type has parameters; `results` has as
 * many as it has results, zeros of their types, to be filled in. To fail, return an error made with
 * precast_error_new or precast_error_new_trap, or one that a call in here gave; NULL otherwise.
 * `caller` lives until the function returns. It may be called from every thread that runs a guest,
 * several at once. */
typedef precast_error *(*precast_host_func)(void *env, precast_caller *caller,
                                            const precast_val *args, size_t arg_count,
                                            precast_val *results, size_t result_count);

/* Defines a host function. `finalizer` (which may be NULL) is called with `env` when nothing can call
 * the function any more, or now if there is an error. A later definition takes the place of an
 * earlier one of the same names. */
PRECAST_MUST_USE precast_error *precast_linker_define_func(precast_linker *linker,
                                                           const char *module, const char *name,
                                                           const char *type,
                                                           precast_host_func function, void *env,
                                                           precast_finalizer finalizer);

/* A host function that takes its parameters as functions of C do: guests call it with nothing between,
 * some 25 times as fast. Its type is one of those of the calls below, with a caller before the parameters:
 *
 *     int32_t add(precast_raw_caller *caller, int32_t a, int32_t b);
 *     precast_linker_define_raw(linker, "host", "add", "(i32, i32) -> (i32)", (precast_raw_func)add);
 *
 * It cannot fail, and it must not use the store: what it has is in the three functions that follow. */
typedef struct precast_raw_caller precast_raw_caller;
typedef void (*precast_raw_func)(void);

/* Defines one. It must be of the type that is said here. */
PRECAST_MUST_USE precast_error *precast_linker_define_raw(precast_linker *linker,
                                                          const char *module, const char *name,
                                                          const char *type,
                                                          precast_raw_func function);

/* The `data` of the store. */
void *precast_raw_data(const precast_raw_caller *caller);

/* As precast_caller_memory and precast_caller_range: NULL where there is no memory, or the bytes are
 * not within it. */
const uint8_t *precast_raw_memory(const precast_raw_caller *caller, size_t *length);
uint8_t *precast_raw_range(const precast_raw_caller *caller, uint64_t offset, size_t length);

/* Defines something that a store holds: only instances of that store can import it. */
PRECAST_MUST_USE precast_error *precast_linker_define(precast_linker *linker, precast_store *store,
                                                      const char *module, const char *name,
                                                      const precast_extern *item);

/* Defines all that an instance exports. */
PRECAST_MUST_USE precast_error *precast_linker_define_instance(precast_linker *linker,
                                                               precast_store *store,
                                                               const char *module,
                                                               precast_instance instance);

/* Defines WASI preview 1: what its functions work on, precast_store_set_wasi says. */
PRECAST_MUST_USE precast_error *precast_linker_define_wasi(precast_linker *linker);

/* Makes an instance, with imports found by their names, and runs its start function. */
PRECAST_MUST_USE precast_error *precast_linker_instantiate(const precast_linker *linker,
                                                           precast_store *store,
                                                           const precast_module *module,
                                                           precast_instance *instance);

/* The store of the guest that calls. Borrowed until the host function returns; the store that the
 * program made is in use meanwhile. */
precast_store *precast_caller_store(precast_caller *caller);

/* The instance that calls; false where it is the program itself. */
bool precast_caller_instance(const precast_caller *caller, precast_instance *instance);

/* Whether the guest is to stop: a host function that takes long should look, and return. */
bool precast_caller_interrupted(const precast_caller *caller);

/* Memory 0 of the instance that calls, to read from, and the bytes from `offset` on, to write to:
 * see precast_memory_view and precast_memory_range. */
PRECAST_MUST_USE precast_error *precast_caller_memory(const precast_caller *caller,
                                                      const uint8_t **data, size_t *length);
PRECAST_MUST_USE precast_error *precast_caller_range(const precast_caller *caller, uint64_t offset,
                                                     size_t length, uint8_t **data);

/* --------------------------------------------------------------------------------- instances */

/* What an instance exports under a name. An error of the kind USE where there is nothing of that name
 * and kind. */
PRECAST_MUST_USE precast_error *precast_instance_func(precast_store *store,
                                                      precast_instance instance, const char *name,
                                                      precast_func *func);
PRECAST_MUST_USE precast_error *precast_instance_memory(precast_store *store,
                                                        precast_instance instance,
                                                        const char *name, precast_memory *memory);
PRECAST_MUST_USE precast_error *precast_instance_table(precast_store *store,
                                                       precast_instance instance, const char *name,
                                                       precast_table *table);
PRECAST_MUST_USE precast_error *precast_instance_global(precast_store *store,
                                                        precast_instance instance,
                                                        const char *name, precast_global *global);

/* The export that precast_module_export tells of under the same index. */
PRECAST_MUST_USE precast_error *precast_instance_export(precast_store *store,
                                                        precast_instance instance, size_t index,
                                                        precast_extern *item);

/* What an instance may still execute, where its object was compiled with --fuel; an error of the kind
 * USE where it was not. */
PRECAST_MUST_USE precast_error *precast_instance_fuel(precast_store *store,
                                                      precast_instance instance, uint64_t *fuel);
PRECAST_MUST_USE precast_error *precast_instance_set_fuel(precast_store *store,
                                                          precast_instance instance, uint64_t fuel);

/* --------------------------------------------------------------------------------- functions */

/* Calls a function. Numbers and types of the values must be those of its type. `args` and `results`
 * may be the same array. */
PRECAST_MUST_USE precast_error *precast_func_call(precast_store *store, precast_func func,
                                                  const precast_val *args, size_t arg_count,
                                                  precast_val *results, size_t result_count);

/* The type of a function as text, which belongs to the program: end it with precast_string_delete. */
PRECAST_MUST_USE precast_error *precast_func_type(precast_store *store, precast_func func,
                                                  char **type_new);
void precast_string_delete(char *string);

/* What a call that may wait has come to. Later versions may add some. */
typedef enum precast_call_state {
    PRECAST_CALL_FAILED = 0, /* it is over: the function that found out has returned the error */
    PRECAST_CALL_DONE = 1,   /* it has returned: see precast_call_results */
    PRECAST_CALL_NEEDS_ANSWER = 2, /* a host function answers later: precast_call_give, then resume */
    PRECAST_CALL_NEEDS_TIME = 3    /* its time slice is used up: resume it */
} precast_call_state;

/* Starts a call that may wait. While it does, the store runs no other guest, but its memories can be
 * read and written. Each of the functions here may be called on another thread than the one before.
 * Delete the call before its store or sandbox. Not for host functions. */
PRECAST_MUST_USE precast_error *precast_call_start(precast_store *store, precast_func func,
                                                   const precast_val *args, size_t arg_count,
                                                   precast_call **call);

/* A precast_call_state. */
uint32_t precast_call_get_state(const precast_call *call);

/* What the host function that the guest waits for gave to precast_error_new_suspend. NULL from the second time
 * on, and where it waits for something else. */
void *precast_call_take_note(precast_call *call);

/* Gives the results of the host function that the guest waits for. */
PRECAST_MUST_USE precast_error *precast_call_give(precast_call *call, const precast_val *results,
                                                  size_t result_count);

/* Lets the guest go on, until it returns, fails or waits again. A host function without results needs
 * no precast_call_give; without the results that it needs the guest is given up. */
PRECAST_MUST_USE precast_error *precast_call_resume(precast_call *call);

/* The results of a call that is done. */
PRECAST_MUST_USE precast_error *precast_call_results(const precast_call *call, precast_val *results,
                                                     size_t result_count);

/* A guest that waits is given up, as after a trap. */
void precast_call_delete(precast_call *call);

/* A function whose type was compared with one of those below, to be called fast: no arrays, no
 * allocation. Plain data, good as long as the function's store; of a sandbox, until it is reset. */
typedef struct precast_typed_func { uint64_t words[8]; } precast_typed_func;

/* `type` is that of one of the calls below. An error of the kind USE where the function has another. */
PRECAST_MUST_USE precast_error *precast_func_typed(precast_store *store, precast_func func,
                                                   const char *type, precast_typed_func *typed);

/* Calls, by parameters and result: v is none, i is i32, l is i64, d is f64. */
PRECAST_MUST_USE precast_error *precast_call_v_v(precast_store *, const precast_typed_func *);
PRECAST_MUST_USE precast_error *precast_call_v_i(precast_store *, const precast_typed_func *,
                                                 int32_t *result);
PRECAST_MUST_USE precast_error *precast_call_i_v(precast_store *, const precast_typed_func *,
                                                 int32_t);
PRECAST_MUST_USE precast_error *precast_call_i_i(precast_store *, const precast_typed_func *,
                                                 int32_t, int32_t *result);
PRECAST_MUST_USE precast_error *precast_call_ii_v(precast_store *, const precast_typed_func *,
                                                  int32_t, int32_t);
PRECAST_MUST_USE precast_error *precast_call_ii_i(precast_store *, const precast_typed_func *,
                                                  int32_t, int32_t, int32_t *result);
PRECAST_MUST_USE precast_error *precast_call_iii_v(precast_store *, const precast_typed_func *,
                                                   int32_t, int32_t, int32_t);
PRECAST_MUST_USE precast_error *precast_call_iii_i(precast_store *, const precast_typed_func *,
                                                   int32_t, int32_t, int32_t, int32_t *result);
PRECAST_MUST_USE precast_error *precast_call_iiii_i(precast_store *, const precast_typed_func *,
                                                    int32_t, int32_t, int32_t, int32_t,
                                                    int32_t *result);
PRECAST_MUST_USE precast_error *precast_call_v_l(precast_store *, const precast_typed_func *,
                                                 int64_t *result);
PRECAST_MUST_USE precast_error *precast_call_l_l(precast_store *, const precast_typed_func *,
                                                 int64_t, int64_t *result);
PRECAST_MUST_USE precast_error *precast_call_ll_l(precast_store *, const precast_typed_func *,
                                                  int64_t, int64_t, int64_t *result);
PRECAST_MUST_USE precast_error *precast_call_ii_l(precast_store *, const precast_typed_func *,
                                                  int32_t, int32_t, int64_t *result);
PRECAST_MUST_USE precast_error *precast_call_d_d(precast_store *, const precast_typed_func *,
                                                 double, double *result);
PRECAST_MUST_USE precast_error *precast_call_dd_d(precast_store *, const precast_typed_func *,
                                                  double, double, double *result);

/* Something of the program's for guests to hold. `finalizer` (which may be NULL) is called with `data`
 * when the store ends, or now if there is an error. */
PRECAST_MUST_USE precast_error *precast_externref_new(precast_store *store, void *data,
                                                      precast_finalizer finalizer,
                                                      precast_externref *reference);
PRECAST_MUST_USE precast_error *precast_externref_data(precast_store *store,
                                                       precast_externref reference, void **data);

/* ---------------------------------------------------------------------------------- memories */

/* A memory of the program's own, of `min` to `max` pages (PRECAST_NO_LIMIT: no limit of its own). */
PRECAST_MUST_USE precast_error *precast_memory_new(precast_store *store, uint64_t min, uint64_t max,
                                                   precast_memory *memory);
PRECAST_MUST_USE precast_error *precast_memory_pages(precast_store *store, precast_memory memory,
                                                     uint64_t *pages);

/* Grows it; an error of the kind LIMIT where its type, the store or the system does not allow it. `old`
 * (which may be NULL) gets the pages it had. */
PRECAST_MUST_USE precast_error *precast_memory_grow(precast_store *store, precast_memory memory,
                                                    uint64_t delta, uint64_t *old);

/* All of a memory, to read from. The address stays good as long as the store (of a sandbox, until it
 * is reset or deleted), and growing does not move it: but `length` is what the memory had now, so look
 * again after a guest has run. What is there changes as guests run. NEVER write through it: use the
 * function below. */
PRECAST_MUST_USE precast_error *precast_memory_view(precast_store *store, precast_memory memory,
                                                    const uint8_t **data, size_t *length);

/* The `length` bytes from `offset` on, to write to until a guest of the store runs again. Resetting a
 * sandbox costs what was asked for here, so do not ask for all of a large memory. An error of the kind
 * USE where they are not within the memory. */
PRECAST_MUST_USE precast_error *precast_memory_range(precast_store *store, precast_memory memory,
                                                     uint64_t offset, size_t length,
                                                     uint8_t **data);

/* Copies out of and into a memory. An error of the kind USE, and nothing copied, where the bytes are
 * not within it. */
PRECAST_MUST_USE precast_error *precast_memory_read(precast_store *store, precast_memory memory,
                                                    uint64_t offset, uint8_t *buffer,
                                                    size_t length);
PRECAST_MUST_USE precast_error *precast_memory_write(precast_store *store, precast_memory memory,
                                                     uint64_t offset, const uint8_t *bytes,
                                                     size_t length);

/* -------------------------------------------------------------------------- tables and globals */

/* A table of the program's own; `type` is "funcref" or "externref", `init` the value of each element. */
PRECAST_MUST_USE precast_error *precast_table_new(precast_store *store, const char *type,
                                                  uint64_t min, uint64_t max,
                                                  const precast_val *init, precast_table *table);
PRECAST_MUST_USE precast_error *precast_table_size(precast_store *store, precast_table table,
                                                   uint64_t *elements);

/* An error of the kind USE where there is no element `index`. */
PRECAST_MUST_USE precast_error *precast_table_get(precast_store *store, precast_table table,
                                                  uint64_t index, precast_val *value);
PRECAST_MUST_USE precast_error *precast_table_set(precast_store *store, precast_table table,
                                                  uint64_t index, const precast_val *value);

/* As precast_memory_grow. */
PRECAST_MUST_USE precast_error *precast_table_grow(precast_store *store, precast_table table,
                                                   uint64_t delta, const precast_val *init,
                                                   uint64_t *old);

/* A global of the program's own. */
PRECAST_MUST_USE precast_error *precast_global_new(precast_store *store, const char *type,
                                                   bool is_mutable, const precast_val *value,
                                                   precast_global *global);
PRECAST_MUST_USE precast_error *precast_global_get(precast_store *store, precast_global global,
                                                   precast_val *value);

/* An error of the kind USE where it is immutable or of another type. */
PRECAST_MUST_USE precast_error *precast_global_set(precast_store *store, precast_global global,
                                                   const precast_val *value);

/* ------------------------------------------------------------------------------------- pools */

/* Zero is the default everywhere. */
typedef struct precast_pool_options {
    size_t size;                 /* sizeof(precast_pool_options) */
    uint64_t slots;              /* sandboxes at a time; 1000 */
    uint64_t reservation;        /* bytes of address space for the memory of each, for modules that
                                    were compiled with --memory-reservation; 0 is 4 GiB with guards */
    uint64_t stack_size;         /* bytes for the guest's code; 256 KiB */
    uint64_t instance_data;      /* most bytes of instance data; 256 KiB */
    uint64_t max_memory;         /* most linear memory of each; no limit */
    uint64_t max_table_elements; /* most table elements of each; ten million */
    uint64_t fuel;               /* of each, where it counts; all there is */
    uint64_t keep_resident;      /* most bytes of a waiting slot that stay in memory; 256 KiB */
    uint64_t verify;             /* not 0: compare every byte of a slot before it is used again */
} precast_pool_options;

#define PRECAST_POOL_OPTIONS {sizeof(precast_pool_options), 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* What a pool has done and has. */
typedef struct precast_pool_stats {
    uint64_t live;    /* sandboxes in use */
    uint64_t free;    /* slots that could be given out now, warm ones included */
    uint64_t warm;    /* slots that wait for the next sandbox of their template */
    uint64_t lost;    /* slots that could not be restored and are out of use */
    uint64_t resets;  /* how often a slot was restored */
    uint64_t made;    /* how often a slot was made from nothing, or for another template */
    uint64_t unclean; /* how often `verify` found a slot that was not as it should be */
} precast_pool_stats;

/* Reserves a pool. `options` may be NULL. */
PRECAST_MUST_USE precast_error *precast_pool_new(const precast_pool_options *options,
                                                 precast_pool **pool);

/* Its sandboxes live on. */
void precast_pool_delete(precast_pool *pool);
PRECAST_MUST_USE precast_error *precast_pool_get_stats(const precast_pool *pool,
                                                       precast_pool_stats *stats);

/* A module with its imports resolved and checked once: host functions and WASI only. */
PRECAST_MUST_USE precast_error *precast_template_new(const precast_linker *linker,
                                                     const precast_module *module,
                                                     precast_template **template_);

/* Its sandboxes live on. */
void precast_template_delete(precast_template *template_);

/* A sandbox: a slot with a fresh instance, a store of its own. Nanoseconds where a slot of the template
 * is warm. `tenant` is whose it is, as the program numbers its customers. `data` and `finalizer` are as
 * for precast_store_new. */
PRECAST_MUST_USE precast_error *precast_sandbox_new(const precast_pool *pool,
                                                    const precast_template *template_,
                                                    uint64_t tenant, void *data,
                                                    precast_finalizer finalizer,
                                                    precast_sandbox **sandbox);

/* Gives the slot back: every byte that the guest wrote is gone before another gets it. Does nothing
 * while its guest runs. */
void precast_sandbox_delete(precast_sandbox *sandbox);

/* Brings it back to the state in which it was made. `data` and what precast_store_set_wasi gave stay;
 * handles made before are of no use any more. */
PRECAST_MUST_USE precast_error *precast_sandbox_reset(precast_sandbox *sandbox);

/* Its instance, all zeros for NULL and while its guest runs. Another one after each reset. */
precast_instance precast_sandbox_instance(precast_sandbox *sandbox);

/* Its store, borrowed from it. */
precast_store *precast_sandbox_store(precast_sandbox *sandbox);

/* A function that the module of a template exports, looked up once for all of its sandboxes. Plain
 * data, good as long as the template. */
typedef struct precast_template_func { uint64_t words[8]; } precast_template_func;

/* `type` is that of one of the calls above. */
PRECAST_MUST_USE precast_error *precast_template_get_func(const precast_template *template_,
                                                          const char *name, const char *type,
                                                          precast_template_func *func);

/* The function in a sandbox of that template. */
PRECAST_MUST_USE precast_error *precast_sandbox_bind(precast_sandbox *sandbox,
                                                     const precast_template_func *func,
                                                     precast_typed_func *typed);

/* -------------------------------------------------------------------------------------- WASI */

/* Standard streams of a guest. */
#define PRECAST_STDOUT 1
#define PRECAST_STDERR 2

/* A description of a guest's world, empty at first: no arguments, no variables, no files, nothing to
 * read, and what is written vanishes. One description can serve any number of stores. */
PRECAST_MUST_USE precast_error *precast_wasi_new(precast_wasi **wasi);
void precast_wasi_delete(precast_wasi *wasi);

/* Adds an argument; the first is the program's name. */
PRECAST_MUST_USE precast_error *precast_wasi_arg(precast_wasi *wasi, const char *arg);

/* Sets an environment variable. */
PRECAST_MUST_USE precast_error *precast_wasi_env(precast_wasi *wasi, const char *name,
                                                 const char *value);

/* Gives the guest the program's own standard input, output and error. */
PRECAST_MUST_USE precast_error *precast_wasi_inherit_stdio(precast_wasi *wasi);

/* Gives the guest a directory under a name. It is opened now; the guest never gets out of it. */
PRECAST_MUST_USE precast_error *precast_wasi_preopen_dir(precast_wasi *wasi, const char *host,
                                                         const char *guest, bool read_only);

/* Standard input: bytes (copied), a descriptor (duplicated), a file. */
PRECAST_MUST_USE precast_error *precast_wasi_stdin_bytes(precast_wasi *wasi, const uint8_t *bytes,
                                                         size_t length);
PRECAST_MUST_USE precast_error *precast_wasi_stdin_fd(precast_wasi *wasi, int fd);
PRECAST_MUST_USE precast_error *precast_wasi_stdin_file(precast_wasi *wasi, const char *path);

/* Standard output or error, PRECAST_STDOUT or PRECAST_STDERR: into a buffer of up to `max_bytes` (0 is
 * 64 MiB; the last one set counts for both), a descriptor (duplicated), a file (made or emptied now). */
PRECAST_MUST_USE precast_error *precast_wasi_capture(precast_wasi *wasi, int stream,
                                                     size_t max_bytes);
PRECAST_MUST_USE precast_error *precast_wasi_output_fd(precast_wasi *wasi, int stream, int fd);
PRECAST_MUST_USE precast_error *precast_wasi_output_file(precast_wasi *wasi, int stream,
                                                         const char *path);

/* How many descriptors the guest may have open at once; 1024. */
PRECAST_MUST_USE precast_error *precast_wasi_max_descriptors(precast_wasi *wasi, size_t limit);

/* Makes the world and puts it in a store, in place of the one that it had. */
PRECAST_MUST_USE precast_error *precast_store_set_wasi(precast_store *store,
                                                       const precast_wasi *wasi);

/* What a guest has written to a captured stream. Borrowed until a guest of the store runs or the
 * store's world changes. */
PRECAST_MUST_USE precast_error *precast_store_captured(precast_store *store, int stream,
                                                       const uint8_t **data, size_t *length);

/* Runs a WASI program: calls `_start`. The guest ending itself is no error: `exit_code` gets what it
 * gave, 0 where `_start` returned. */
PRECAST_MUST_USE precast_error *precast_wasi_start(precast_store *store, precast_instance instance,
                                                   uint32_t *exit_code);

#ifdef __cplusplus
}
#endif

#endif /* PRECAST_H */
