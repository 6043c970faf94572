;; An unlikely `br_if` goes by way of a cold block, behind a likely one the code is cold, and so is
;; the unlikely side of an `if`.
(module
  (func (param i32) (result i32)
    (block $out
      (@metadata.code.branch_hint "\00")
      (br_if $out (local.get 0))
      (@metadata.code.branch_hint "\01")
      (br_if $out (i32.eqz (local.get 0)))
      (return (i32.const 1)))
    (@metadata.code.branch_hint "\01")
    (if (result i32) (local.get 0)
      (then (i32.const 2))
      (else
        (@metadata.code.branch_hint "\00")
        (if (result i32) (local.get 0)
          (then (i32.const 3))
          (else (i32.const 4)))))))
