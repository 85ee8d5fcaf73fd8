// Runs one launch: the request on stdin, what its buffers hold afterwards on stdout.
//
// The request, little-endian: length of the name (u32), the name; grid (3 × u32), threads of a
// block (u32), shared bytes (u32); count of arguments (u32); each argument a kind (u32: 0 a
// number of 32 bits, 1 a buffer, 2 no buffer), then its 32 bits, or length in bytes (u32) and
// bytes. The reply: the bytes of every buffer in order.
#define TRUNKLINE_EMULATED
#include <cstdio>
#include <string>
#include <tuple>
#include <utility>

#include "../paged.cu"
#include "../rows.cu"
#include "../slots.cu"

struct Argument {
    uint32_t kind;
    uint32_t number;
    // Of exactly the length asked for, so that a step beyond is found.
    std::unique_ptr<char[]> bytes;
};

template <typename A>
A value_of(const Argument& argument) {
    if constexpr (std::is_pointer_v<A>) {
        return reinterpret_cast<A>(argument.bytes.get());
    } else {
        static_assert(sizeof(A) == 4);
        A value;
        std::memcpy(&value, &argument.number, sizeof value);
        return value;
    }
}

template <typename... A, size_t... N>
std::function<void()> bound(void (*kernel)(A...), const std::vector<Argument>& arguments,
                            std::index_sequence<N...>) {
    if (arguments.size() != sizeof...(A)) return nullptr;
    return [kernel, values = std::make_tuple(value_of<A>(arguments[N])...)] {
        std::apply(kernel, values);
    };
}

template <typename... A>
std::function<void()> bound(void (*kernel)(A...), const std::vector<Argument>& arguments) {
    return bound(kernel, arguments, std::index_sequence_for<A...>{});
}

#define KERNEL(kernel) \
    if (name == #kernel) return bound(kernel, arguments)
#define BOTH(kernel)       \
    KERNEL(kernel##_float); \
    KERNEL(kernel##_bf16)
#define ATTENDS(c)                    \
    KERNEL(attend_float_c##c##_r1);   \
    KERNEL(attend_float_c##c##_r4);   \
    KERNEL(attend_float_c##c##_r8);   \
    KERNEL(attend_bf16_c##c##_r1);    \
    KERNEL(attend_bf16_c##c##_r4);    \
    KERNEL(attend_bf16_c##c##_r8)

std::function<void()> find(const std::string& name, const std::vector<Argument>& arguments) {
    BOTH(add_rms_norm);
    BOTH(swiglu);
    BOTH(store);
    BOTH(combine);
    BOTH(copy_block);
    ATTENDS(2);
    ATTENDS(4);
    ATTENDS(8);
    KERNEL(attend_slots_float_c2);
    KERNEL(attend_slots_float_c4);
    KERNEL(attend_slots_bf16_c2);
    KERNEL(attend_slots_bf16_c4);
    return nullptr;
}

uint32_t read_number() {
    uint32_t number = 0;
    if (fread(&number, 4, 1, stdin) != 1) exit(2);
    return number;
}

int main() {
    std::string name(read_number(), '\0');
    if (fread(name.data(), 1, name.size(), stdin) != name.size()) return 2;
    gridDim.x = read_number();
    gridDim.y = read_number();
    gridDim.z = read_number();
    const unsigned threads = read_number();
    const unsigned shared = read_number();
    blockDim = {threads, 1, 1};
    std::vector<Argument> arguments(read_number());
    std::vector<uint32_t> lengths(arguments.size());
    for (size_t at = 0; at < arguments.size(); ++at) {
        arguments[at].kind = read_number();
        if (arguments[at].kind == 2) continue;
        arguments[at].number = lengths[at] = read_number();
        if (arguments[at].kind == 0) continue;
        arguments[at].bytes = std::make_unique<char[]>(lengths[at]);
        if (fread(arguments[at].bytes.get(), 1, lengths[at], stdin) != lengths[at]) return 2;
    }
    const auto kernel = find(name, arguments);
    if (!kernel) {
        fprintf(stderr, "no kernel %s of %zu arguments\n", name.c_str(), arguments.size());
        return 3;
    }
    for (unsigned z = 0; z < gridDim.z; ++z) {
        for (unsigned y = 0; y < gridDim.y; ++y) {
            for (unsigned x = 0; x < gridDim.x; ++x) {
                blockIdx = {x, y, z};
                if (!emulator::run_block(threads, shared, kernel)) {
                    fprintf(stderr, "%s: threads wait for one another for ever\n", name.c_str());
                    return 4;
                }
            }
        }
    }
    for (size_t at = 0; at < arguments.size(); ++at) {
        if (arguments[at].kind != 1) continue;
        if (fwrite(arguments[at].bytes.get(), 1, lengths[at], stdout) != lengths[at]) return 5;
    }
}
