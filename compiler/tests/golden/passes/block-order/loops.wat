(module
  (memory 1)
  ;; What stays in the loop is the way that Cranelift would follow first; and last in the text.
  (func (param $p i32) (result i32)
    (loop $top
      (block $on
        (br_if $on (i32.load (local.get $p)))
        (return (local.get $p)))
      (local.set $p (i32.load offset=4 (local.get $p)))
      (br $top))
    unreachable)
  ;; The same with a comparison, of floats.
  (func (param $p i32) (result i32)
    (loop $top
      (block $on
        (br_if $on (f64.lt (f64.load (local.get $p)) (f64.const 1)))
        (return (local.get $p)))
      (local.set $p (i32.add (local.get $p) (i32.const 8)))
      (br $top))
    unreachable)
  ;; Out of the inner loop and not out of the outer one.
  (func (param $p i32)
    (loop $outer
      (loop $inner
        (block $on
          (br_if $on (i32.gt_s (i32.load (local.get $p)) (i32.const 7)))
          (i32.store (local.get $p) (i32.const 1))
          (br $outer))
        (local.set $p (i32.add (local.get $p) (i32.const 4)))
        (br $inner))))
  ;; The right way round already.
  (func (param $p i32)
    (block $out
      (loop $top
        (br_if $out (i32.load (local.get $p)))
        (local.set $p (i32.add (local.get $p) (i32.const 4)))
        (br $top)))))
