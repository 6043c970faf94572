(module
  (memory 1)
  ;; Counts up to a constant.
  (func (local $i i32)
    (loop $top
      (i32.store (local.get $i) (local.get $i))
      (br_if $top
        (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 4000)))))
  ;; The limit wraps.
  (func (param $i i32)
    (loop $top
      (i32.store (i32.const 0) (local.get $i))
      (br_if $top
        (i32.eq (local.tee $i (i32.add (local.get $i) (i32.const 2))) (i32.const 1)))))
  ;; The sum that is tested is made before the counter is used last, and stays where it is used.
  (func (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (loop $top
      (local.set $sum (i32.xor (local.get $i) (i32.mul (local.get $sum) (i32.const 3))))
      (br_if $top
        (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (loop $top
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (i32.store (i32.const 0) (local.get $i))
      (br_if $top (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $sum))
  ;; Nothing is handed on.
  (func (param $i i32) (result i32)
    (i32.ne (i32.add (local.get $i) (i32.const 4)) (i32.const 4000))))
