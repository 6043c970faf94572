;; Pages of one byte: the length in pages is the length in bytes.
(module
  (memory 100 200 (pagesize 1))
  (func (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (param i32) (result i32) (i32.load offset=98 (local.get 0)))
  (func (result i32) (memory.size))
  (func (param i32) (result i32) (memory.grow (local.get 0))))
