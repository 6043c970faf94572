/* Runs a WASI program with Wasmtime's library, compiled ahead of time: the least that does so.
 *
 * usage: start_wasmtime compile MODULE.wasm OUT.cwasm
 *        start_wasmtime run OUT.cwasm
 *
 * The library is that of PyPI's package `wasmtime`, which has no headers: what is used of its C API
 * is declared here. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { size_t size; char *data; } bytes;
typedef struct { uint64_t store_id; void *private_; } func;
typedef struct error error;
typedef struct trap trap;

void *wasm_engine_new(void);
error *wasmtime_module_new(void *engine, const uint8_t *wasm, size_t size, void **out);
error *wasmtime_module_serialize(void *module, bytes *out);
error *wasmtime_module_deserialize_file(void *engine, const char *path, void **out);
void *wasmtime_store_new(void *engine, void *data, void (*finalizer)(void *));
void *wasmtime_store_context(void *store);
void *wasmtime_linker_new(void *engine);
error *wasmtime_linker_define_wasi(void *linker);
void *wasi_config_new(void);
void wasi_config_inherit_stdout(void *config);
_Bool wasi_config_set_argv(void *config, size_t count, const char *args[]);
error *wasmtime_context_set_wasi(void *context, void *config);
error *wasmtime_linker_module(void *linker, void *context, const char *name, size_t len, void *module);
error *wasmtime_linker_get_default(void *linker, void *context, const char *name, size_t len, func *out);
error *wasmtime_func_call(void *context, const func *function, const void *args, size_t arg_count,
                          void *results, size_t result_count, trap **out);
_Bool wasmtime_error_exit_status(const error *error, int *status);

static void must(error *error, const char *what) {
  int status;
  if (!error)
    return;
  if (wasmtime_error_exit_status(error, &status))
    exit(status);
  fprintf(stderr, "%s failed\n", what);
  exit(1);
}

static void compile(const char *from, const char *to) {
  static uint8_t wasm[1 << 20];
  FILE *file = fopen(from, "rb");
  size_t size = file ? fread(wasm, 1, sizeof wasm, file) : 0;
  void *module;
  bytes code;
  must(wasmtime_module_new(wasm_engine_new(), wasm, size, &module), "compiling");
  must(wasmtime_module_serialize(module, &code), "serialising");
  file = fopen(to, "wb");
  if (!file || fwrite(code.data, 1, code.size, file) != code.size || fclose(file))
    exit(1);
}

static void run(const char *path) {
  void *engine = wasm_engine_new();
  void *module;
  func start;
  trap *trap = NULL;
  must(wasmtime_module_deserialize_file(engine, path, &module), "opening");
  void *context = wasmtime_store_context(wasmtime_store_new(engine, NULL, NULL));
  void *linker = wasmtime_linker_new(engine);
  must(wasmtime_linker_define_wasi(linker), "linking");
  void *wasi = wasi_config_new();
  wasi_config_inherit_stdout(wasi);
  wasi_config_set_argv(wasi, 1, &path);
  must(wasmtime_context_set_wasi(context, wasi), "WASI");
  must(wasmtime_linker_module(linker, context, "", 0, module), "instantiating");
  must(wasmtime_linker_get_default(linker, context, "", 0, &start), "finding the start");
  must(wasmtime_func_call(context, &start, NULL, 0, NULL, 0, &trap), "running");
  exit(trap != NULL);
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "compile"))
    compile(argv[2], argv[3]);
  else if (argc == 3 && !strcmp(argv[1], "run"))
    run(argv[2]);
  else
    return 2;
  return 0;
}
