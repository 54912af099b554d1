(module
 (prelude)
 ;; Interrupts in the prologue of a function whose tail call needs more room for arguments than it has
 ;; itself would find a frame pointer to what dead frames have left.
 (tag $e (param i32))
 (func $g (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64) (local.get 0))
 (func $f (param i64) (result i64)
   (return_call $g (local.get 0) (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7)
     (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7)))
 (func (export "_signal") (result i32) (throw $e (i32.const 1)))
 (func (export "_start") (param i32)
   (call $handle (i32.const 14))
   (call $every (i32.const 90))
   (loop $l
     (block $h (result i32) (try_table (catch $e $h) (drop (call $f (i64.const 1)))) (i32.const 0))
     (drop)
     (br $l))))
