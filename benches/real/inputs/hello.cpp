// Templates, a table of virtual functions, and 64-bit arithmetic, for LLVM to work on.
extern "C" int puts(const char *);
template <typename T, int N> struct Ring {
    T items[N] = {};
    unsigned at = 0;
    void push(T value) { items[at++ % N] = value; }
    T sum() const { T s = 0; for (const T &item : items) s += item; return s; }
};
struct Shape { virtual double area() const = 0; virtual ~Shape() = default; };
struct Square final : Shape { double a; explicit Square(double a) : a(a) {} double area() const override { return a * a; } };
struct Circle final : Shape { double r; explicit Circle(double r) : r(r) {} double area() const override { return 3.14159 * r * r; } };
double total(const Shape *const *shapes, int n) { double t = 0; for (int i = 0; i < n; i++) t += shapes[i]->area(); return t; }
unsigned long long collatz(unsigned long long n) { unsigned long long steps = 0; while (n != 1) n = n % 2 ? 3 * n + 1 : n / 2, steps++; return steps; }
int main() {
    Ring<unsigned long long, 16> ring;
    for (unsigned long long n = 1; n < 1000; n++) ring.push(collatz(n));
    Square s(2); Circle c(1.5);
    const Shape *shapes[] = {&s, &c};
    puts(total(shapes, 2) > 11 ? "more than eleven" : "less");
    return ring.sum() % 251;
}
