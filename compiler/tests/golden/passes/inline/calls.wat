;; A small function takes the place of calls of it, along with what was inlined in it; in a cold
;; block and before `unreachable` the call stays. A tail call of an inlined function is a call, and
;; an inlined function that is tail-called returns. A function that calls itself is inlined into
;; itself once.
(module
  (memory 1)
  (func $leaf (param i32) (result i32)
    (i32.div_u (i32.const 100) (i32.load (local.get 0))))
  (func $middle (param i32) (result i32)
    (i32.add (call $leaf (local.get 0)) (call $leaf (i32.const 8))))
  (func $tail (param i32) (result i32)
    (return_call $large (local.get 0)))
  (func $large (export "large") (param i32) (result i32)
    (local i32)
    (loop $top
      (block (br_table 0 1 0 (local.get 0))))
    (local.get 1))
  (func $panic (param i32)
    (i32.store (i32.const 0) (local.get 0)))
  (func (export "run") (param i32) (result i32)
    (@metadata.code.branch_hint "\00")
    (if (local.get 0) (then (call $panic (i32.const 1))))
    (if (i32.eqz (local.get 0)) (then (call $panic (i32.const 2)) unreachable))
    (i32.add (call $middle (local.get 0)) (call $tail (i32.const 3))))
  (func (export "last") (param i32) (result i32)
    (return_call $middle (local.get 0)))
  (func $fib (export "fib") (param i32) (result i32)
    (if (i32.lt_u (local.get 0) (i32.const 2)) (then (return (local.get 0))))
    (i32.add
      (call $fib (i32.sub (local.get 0) (i32.const 1)))
      (call $fib (i32.sub (local.get 0) (i32.const 2))))))
