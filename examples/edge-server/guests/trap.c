// Hostile: does what cannot be done.
int main(void) { __builtin_trap(); }
