;; Calls, recursion, many results, floating point, traps.
;; fib 20 = 6765
;; many 5 = 5 6 7 8.5
;; div 7 2 = 3
;; div 7 0 = trap: integer divide by zero
;; stop = trap: unreachable
;; round 2.5 = 2
;; deep = trap: call stack exhausted
(module
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "many") (param i32) (result i32 i64 i32 f64)
    (local.get 0) (i64.const 6) (i32.const 7) (f64.const 8.5))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "stop") unreachable)
  (func (export "round") (param f64) (result f64) (f64.nearest (local.get 0)))
  (func $deep (export "deep") (result i32) (i32.add (call $deep) (i32.const 1))))
