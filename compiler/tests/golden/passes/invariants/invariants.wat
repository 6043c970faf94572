(module
  (memory 1)
  ;; The step does not change.
  (func (param $step i32) (param $end i32) (local $i i32)
    (drop (i32.load (i32.or (local.get $step) (i32.const 1))))
    (loop $top
      (i32.store8 (local.get $i) (i32.or (local.get $step) (i32.const 1)))
      (local.set $i (i32.add (local.get $i) (i32.or (local.get $step) (i32.const 1))))
      (br_if $top (i32.lt_u (local.get $i) (local.get $end))))))
