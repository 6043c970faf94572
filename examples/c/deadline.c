/* A guest that would run for ever: stopped by a timeout, and by another thread.
 *
 *   precast compile deadline.wat
 *   cc -std=c11 deadline.c libprecast.a -lm -lpthread -ldl -o deadline
 *   ./deadline deadline.so
 */
#include "common.h"

#include <pthread.h>
#include <time.h>

static void *kill_soon(void *interrupt) {
    struct timespec moment = {0, 100 * 1000 * 1000};
    nanosleep(&moment, NULL);
    precast_interrupt_kill(interrupt);
    return NULL;
}

static void tell(const char *who, precast_error *error) {
    if (error == NULL) {
        fprintf(stderr, "it came back\n");
        exit(1);
    }
    precast_frame frame;
    if (precast_error_get_trap(error) != PRECAST_TRAP_INTERRUPTED ||
        !precast_error_frame(error, 0, &frame)) {
        must(error);
        return;
    }
    printf("%s: %s, in %s!%s\n", who, precast_error_message(error), frame.module, frame.function);
    precast_error_delete(error);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: deadline OBJECT\n");
        return 2;
    }
    precast_module *module;
    must(precast_module_open(argv[1], &module));
    precast_linker *linker;
    must(precast_linker_new(&linker));
    precast_store *store;
    must(precast_store_new(NULL, NULL, NULL, &store));
    precast_instance instance;
    must(precast_linker_instantiate(linker, store, module, &instance));
    precast_func spin;
    must(precast_instance_func(store, instance, "spin", &spin));

    must(precast_store_set_timeout(store, 100 * 1000 * 1000));
    tell("timeout", precast_func_call(store, spin, NULL, 0, NULL, 0));
    must(precast_store_set_timeout(store, PRECAST_NO_LIMIT));

    precast_interrupt *interrupt;
    must(precast_interrupt_new(store, &interrupt));
    pthread_t thread;
    if (pthread_create(&thread, NULL, kill_soon, interrupt) != 0) {
        return 1;
    }
    tell("kill", precast_func_call(store, spin, NULL, 0, NULL, 0));
    pthread_join(thread, NULL);

    precast_interrupt_delete(interrupt);
    precast_store_delete(store);
    precast_linker_delete(linker);
    precast_module_delete(module);
    return 0;
}
