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
  ;; Nothing is handed on.
  (func (param $i i32) (result i32)
    (i32.ne (i32.add (local.get $i) (i32.const 4)) (i32.const 4000))))
