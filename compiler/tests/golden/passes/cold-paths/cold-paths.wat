(module
  (memory 1)
  (func (param i32) (result i32)
    (if (i32.eqz (local.get 0))
      (then
        ;; On the way to a trap.
        (i32.store (i32.const 0) (i32.const 1))
        (if (i32.load (i32.const 4)) (then unreachable) (else unreachable))))
    (i32.const 2)))
