// A general-purpose allocator (segregated free lists over a heap) under churn, holding
// binary trees that are built, walked and taken down again.
#include "kernel.h"

#define HEAP (8u << 20)
#define CLASSES 32
static uint8_t heap[HEAP] __attribute__((aligned(16)));
static uint32_t heap_top;
typedef struct free_block {
    struct free_block *next;
} free_block;
static free_block *lists[CLASSES];

// A block is preceded by eight bytes that hold its class.
NOINLINE static void *allocate(uint32_t bytes) {
    uint32_t class = (bytes + 15) / 16;
    if (class >= CLASSES) return NULL;
    free_block *block = lists[class];
    if (block) {
        lists[class] = block->next;
        return block;
    }
    uint32_t whole = class * 16 + 16;
    if (heap_top + whole > HEAP) return NULL;
    uint8_t *start = heap + heap_top;
    heap_top += whole;
    *(uint32_t *)start = class;
    return start + 16;
}

NOINLINE static void release(void *pointer) {
    uint32_t class = *(uint32_t *)((uint8_t *)pointer - 16);
    free_block *block = pointer;
    block->next = lists[class];
    lists[class] = block;
}

typedef struct node {
    struct node *left, *right;
    uint32_t key;
    uint8_t payload[];
} node;

NOINLINE static node *insert(node *root, uint32_t key) {
    node **at = &root;
    while (*at) at = key < (*at)->key ? &(*at)->left : &(*at)->right;
    node *fresh = allocate((uint32_t)sizeof(node) + (key & 127));
    if (!fresh) return root;
    fresh->left = fresh->right = NULL;
    fresh->key = key;
    fresh->payload[0] = (uint8_t)key;
    *at = fresh;
    return root;
}

NOINLINE static uint64_t take_down(node *root, uint64_t sum) {
    if (!root) return sum;
    sum = take_down(root->left, sum);
    sum = mix(sum, root->key + root->payload[0]);
    sum = take_down(root->right, sum);
    release(root);
    return sum;
}

EXPORT int64_t run(int32_t n) {
    uint32_t seed = 271828182u;
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        node *root = NULL;
        for (int i = 0; i < 2000; i++) root = insert(root, next_random(&seed));
        sum = take_down(root, sum);
    }
    return (int64_t)sum;
}
