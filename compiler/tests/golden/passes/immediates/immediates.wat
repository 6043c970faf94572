(module
  (memory 1)
  (func (param i32)
    (i32.store8 (local.get 0) (i32.const 0x1ff))
    (i32.store16 (local.get 0) (i32.const -2))
    (i64.store8 (local.get 0) (i64.const -1))
    (i64.store32 (local.get 0) (i64.const 0x1_8000_0000))
    ;; No constants.
    (i32.store8 (local.get 0) (local.get 0))))
