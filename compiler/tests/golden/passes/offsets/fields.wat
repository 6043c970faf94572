(module
  (memory 1)
  (func $fields (param $p i32) (result i64)
    ;; Each address is computed; the first access is the one the others build on.
    (i64.store (i32.add (local.get $p) (i32.const 8)) (i64.const 1))
    (i64.store (i32.add (local.get $p) (i32.const 24)) (i64.const 2))
    (i32.store8 offset=4 (i32.add (i32.add (local.get $p) (i32.const 40)) (i32.const 8)) (i32.const 3))
    ;; Below the first one: nothing is known.
    (i64.load (local.get $p)))
  (func $branches (param $p i32) (param $q i32) (result i32)
    ;; An access that may have been skipped tells nothing.
    (if (local.get $q)
      (then
        (i32.store (local.get $p) (i32.const 0))
        (i32.store (i32.add (local.get $p) (i32.const 4)) (i32.const 0))))
    (i32.load (i32.add (local.get $p) (i32.const 8))))
  (func $far (param $p i32) (result i32)
    ;; Up to the tail, and past it.
    (drop (i32.load (local.get $p)))
    (drop (i32.load (i32.add (local.get $p) (i32.const 65539))))
    (i32.load (i32.add (local.get $p) (i32.const 200000)))))
