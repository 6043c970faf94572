;; Tables that change and such that do not, references, globals.
;; fixed 0 5 = 6
;; fixed 1 5 = 10
;; fixed 2 5 = trap: indirect call type mismatch
;; fixed 3 5 = trap: uninitialized element
;; fixed 9 5 = trap: undefined element
;; set 1 = 1
;; changing 1 5 = 6
;; changing 0 5 = trap: uninitialized element
;; count = 1
;; count = 2
(module
  (type $one (func (param i32) (result i32)))
  (table $fixed 4 funcref) (table $changing (export "table") 2 funcref)
  (global $count (mut i32) (i32.const 0))
  (elem (table $fixed) (i32.const 0) func $inc $double $none)
  (func $inc (type $one) (i32.add (local.get 0) (i32.const 1)))
  (func $double (type $one) (i32.mul (local.get 0) (i32.const 2)))
  (func $none)
  (func (export "fixed") (param i32 i32) (result i32)
    (call_indirect $fixed (type $one) (local.get 1) (local.get 0)))
  (func (export "changing") (param i32 i32) (result i32)
    (call_indirect $changing (type $one) (local.get 1) (local.get 0)))
  (func (export "set") (param i32) (result i32)
    (table.set $changing (local.get 0) (ref.func $inc)) (local.get 0))
  (func (export "count") (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)))
