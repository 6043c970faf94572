;; Memory: initial contents, growth, bulk instructions, a second memory, bounds.
;; load 16 = 1936877926
;; load 65532 = 0
;; load 65536 = trap: out of bounds memory access
;; grow 1 = 1
;; load 65536 = 0
;; copy = 1936877926
;; second 8 = 4369
;; second 65535 = trap: out of bounds memory access
(module
  (memory 1 4) (memory $other 1)
  (data (i32.const 16) "first")
  (data $later "first")
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "copy") (result i32)
    (memory.init $later (i32.const 100) (i32.const 0) (i32.const 5))
    (memory.copy (i32.const 200) (i32.const 100) (i32.const 5))
    (memory.fill (i32.const 204) (i32.const 0) (i32.const 8))
    (i32.load (i32.const 200)))
  (func (export "second") (param i32) (result i32)
    (memory.fill $other (i32.const 8) (i32.const 17) (i32.const 2))
    (i32.load $other (local.get 0))))
