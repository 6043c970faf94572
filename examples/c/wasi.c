/* A WASI program with arguments, a directory, and its output in a buffer.
 *
 *   precast compile ../wordfreq/wordfreq.wasm
 *   cc -std=c11 wasi.c libprecast.a -lm -lpthread -ldl -o wasi
 *   ./wasi wordfreq.so ../wordfreq
 */
#include "common.h"

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: wasi OBJECT DIRECTORY\n");
        return 2;
    }
    precast_module *module;
    must(precast_module_open(argv[1], &module));
    precast_linker *linker;
    must(precast_linker_new(&linker));
    must(precast_linker_define_wasi(linker));

    precast_wasi *wasi;
    must(precast_wasi_new(&wasi));
    const char *args[] = {"wordfreq", "-n", "3", "/text/text.txt"};
    for (size_t i = 0; i < sizeof args / sizeof *args; i++) {
        must(precast_wasi_arg(wasi, args[i]));
    }
    must(precast_wasi_env(wasi, "LANG", "C"));
    must(precast_wasi_preopen_dir(wasi, argv[2], "/text", true));
    must(precast_wasi_capture(wasi, PRECAST_STDOUT, 1 << 20));
    must(precast_wasi_output_fd(wasi, PRECAST_STDERR, 2));

    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    must(precast_store_set_wasi(store, wasi));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    uint32_t exit_code;
    must(precast_wasi_start(store, instance, &exit_code));

    const uint8_t *output;
    size_t length;
    must(precast_store_captured(store, PRECAST_STDOUT, &output, &length));
    printf("exit code %u, %zu bytes:\n", (unsigned)exit_code, length);
    fwrite(output, 1, length, stdout);

    precast_store_delete(store);
    precast_wasi_delete(wasi);
    precast_linker_delete(linker);
    precast_module_delete(module);
    return 0;
}
