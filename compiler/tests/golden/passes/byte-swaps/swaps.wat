(module
  (func $swap (param i32) (result i32)
    (i32.or
      (i32.rotr (i32.and (local.get 0) (i32.const 0xff00ff)) (i32.const 8))
      (i32.and (i32.rotr (local.get 0) (i32.const 24)) (i32.const 0xff00ff))))
  (func $the_other_way (param i32) (result i32)
    (i32.or
      (i32.and (i32.rotl (local.get 0) (i32.const 8)) (i32.const 0xff00ff))
      (i32.rotl (i32.and (local.get 0) (i32.const 0xff00ff)) (i32.const 24))))
  (func $of_two (param i32 i32) (result i32)
    (i32.or
      (i32.rotr (i32.and (local.get 0) (i32.const 0xff00ff)) (i32.const 8))
      (i32.and (i32.rotr (local.get 1) (i32.const 24)) (i32.const 0xff00ff))))
  (func $by_another_distance (param i32) (result i32)
    (i32.or
      (i32.rotr (i32.and (local.get 0) (i32.const 0xff00ff)) (i32.const 8))
      (i32.and (i32.rotr (local.get 0) (i32.const 16)) (i32.const 0xff00ff)))))
