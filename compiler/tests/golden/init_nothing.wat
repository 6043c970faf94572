;; Own memory, known offsets, constant globals: nothing is left for init.
(module
  (memory 1)
  (global (mut i32) (i32.const 1))
  (table 2 funcref)
  (elem (i32.const 0) $f)
  (data (i32.const 8) "folded")
  (func $f))
