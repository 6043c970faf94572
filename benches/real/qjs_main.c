// A command line for QuickJS with nothing but what WASI has: runs the files given, in
// order, in one global scope with `print`, `scriptArgs` and `readFile`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quickjs.h"

static char *read_whole(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    size_t capacity = 1 << 16, used = 0;
    char *text = malloc(capacity);
    for (size_t n; (n = fread(text + used, 1, capacity - used - 1, file)) > 0;) {
        used += n;
        if (capacity - used < 2) text = realloc(text, capacity *= 2);
    }
    fclose(file);
    text[used] = 0;
    *length = used;
    return text;
}

static JSValue print(JSContext *context, JSValueConst this, int count, JSValueConst *values) {
    (void)this;
    for (int i = 0; i < count; i++) {
        const char *text = JS_ToCString(context, values[i]);
        if (!text) return JS_EXCEPTION;
        printf(i ? " %s" : "%s", text);
        JS_FreeCString(context, text);
    }
    putchar('\n');
    return JS_UNDEFINED;
}

static JSValue read_file(JSContext *context, JSValueConst this, int count, JSValueConst *values) {
    (void)this, (void)count;
    const char *path = JS_ToCString(context, values[0]);
    if (!path) return JS_EXCEPTION;
    size_t length;
    char *text = read_whole(path, &length);
    JSValue result = text ? JS_NewStringLen(context, text, length) : JS_ThrowReferenceError(context, "cannot read %s", path);
    JS_FreeCString(context, path);
    free(text);
    return result;
}

static int report(JSContext *context) {
    JSValue error = JS_GetException(context);
    const char *text = JS_ToCString(context, error);
    fprintf(stderr, "%s\n", text ? text : "exception");
    JS_FreeCString(context, text);
    JS_FreeValue(context, error);
    return 1;
}

int main(int argc, char **argv) {
    JSRuntime *runtime = JS_NewRuntime();
    JSContext *context = JS_NewContext(runtime);
    JSValue global = JS_GetGlobalObject(context);
    JS_SetPropertyStr(context, global, "print", JS_NewCFunction(context, print, "print", 1));
    JS_SetPropertyStr(context, global, "readFile", JS_NewCFunction(context, read_file, "readFile", 1));
    JS_FreeValue(context, global);
    for (int i = 1; i < argc; i++) {
        size_t length;
        char *text = read_whole(argv[i], &length);
        if (!text) return fprintf(stderr, "cannot read %s\n", argv[i]), 2;
        JSValue result = JS_Eval(context, text, length, argv[i], JS_EVAL_TYPE_GLOBAL);
        free(text);
        int failed = JS_IsException(result) ? report(context) : 0;
        JS_FreeValue(context, result);
        JSContext *ran;
        for (int left; (left = JS_ExecutePendingJob(runtime, &ran)) != 0;)
            if (left < 0) failed = report(ran);
        if (failed) return failed;
    }
    JS_FreeContext(context);
    JS_FreeRuntime(runtime);
    return 0;
}
