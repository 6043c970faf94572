// The same from C++: owners that delete by themselves, errors as exceptions, and a host function made of a
// closure.
//
//   precast compile hello.wat
//   c++ -std=c++11 hello.cpp libprecast.a -lm -lpthread -ldl -o hello
//   ./hello hello.so
#include <precast.h>

#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

void must(precast_error *error) {
    if (error != nullptr) {
        std::string message = precast_error_report(error);
        precast_error_delete(error);
        throw std::runtime_error(message);
    }
}

template <typename T> struct Delete {
    void (*end)(T *);
    void operator()(T *owned) const { end(owned); }
};

template <typename T> using Owner = std::unique_ptr<T, Delete<T>>;

using Log = std::function<void(const std::string &)>;

// No exception may leave a host function.
precast_error *call_log(void *env, precast_caller *caller, const precast_val *args, size_t,
                        precast_val *, size_t) noexcept {
    const uint8_t *memory;
    size_t size;
    if (precast_error *error = precast_caller_memory(caller, &memory, &size)) {
        return error;
    }
    const auto start = static_cast<uint32_t>(args[0].of.i32);
    const auto length = static_cast<uint32_t>(args[1].of.i32);
    if (start > size || length > size - start) {
        return precast_error_new("the text is not in the memory");
    }
    try {
        const auto text = reinterpret_cast<const char *>(memory) + start;
        (*static_cast<Log *>(env))(std::string(text, length));
    } catch (const std::exception &problem) {
        return precast_error_new(problem.what());
    }
    return nullptr;
}

void end_log(void *env) { delete static_cast<Log *>(env); }

int run(const char *path) {
    precast_module *opened;
    must(precast_module_open(path, &opened));
    const Owner<precast_module> module(opened, {precast_module_delete});
    precast_linker *linked;
    must(precast_linker_new(&linked));
    const Owner<precast_linker> linker(linked, {precast_linker_delete});

    int count = 0;
    std::unique_ptr<Log> log(new Log([&count](const std::string &text) {
        count++;
        std::cout << "guest: " << text << std::endl;
        if (count == 3) {
            throw std::runtime_error("that is enough");
        }
    }));
    must(precast_linker_define_func(linker.get(), "host", "log", "i32 i32 ->", call_log,
                                    log.release(), end_log));

    precast_store *made;
    must(precast_store_new(nullptr, nullptr, nullptr, &made));
    const Owner<precast_store> store(made, {precast_store_delete});
    precast_instance instance;
    must(precast_linker_instantiate(linker.get(), store.get(), module.get(), &instance));
    precast_func greet;
    must(precast_instance_func(store.get(), instance, "greet", &greet));

    precast_val arg = precast_val_i32(2), result;
    must(precast_func_call(store.get(), greet, &arg, 1, &result, 1));
    std::cout << "it said so " << result.of.i32 << " times" << std::endl;
    try {
        must(precast_func_call(store.get(), greet, &arg, 1, &result, 1));
    } catch (const std::exception &problem) {
        std::cout << "then: " << problem.what();
    }
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: hello OBJECT" << std::endl;
        return 2;
    }
    try {
        return run(argv[1]);
    } catch (const std::exception &problem) {
        std::cerr << "error: " << problem.what() << std::endl;
        return 1;
    }
}
