// Hostile: calls itself until the stack is full.
static int deeper(int depth);
static int (*volatile next)(int) = deeper;

static int deeper(int depth) { return next(depth + 1) ^ depth; }

int main(void) { return deeper(0); }
