;; Throws and catches in every function under a timer so fast that interrupts come in the engine's own
;; code around a throw, with a handler that throws as well: neither may take the other's exception.
(module
 (prelude)
 (tag $e (param i32))
 (data (i32.const 65536) "all as they were\n")
 (global $sigs (mut i32) (i32.const 0))
 (func (export "_signal") (result i32)
   (global.set $sigs (i32.add (global.get $sigs) (i32.const 1)))
   (drop (block $h (result i32) (try_table (catch $e $h) (throw $e (i32.const 7))) (unreachable)))
   (call $sigreturn))
 (func (export "_start") (param i32) (local $i i32)
   (call $handle (i32.const 14))
   (call $every (i32.const 50))
   (loop $l
     (drop (block $h (result i32) (try_table (catch $e $h) (throw $e (local.get $i))) (unreachable)))
     (local.set $i (i32.add (local.get $i) (i32.const 1)))
     (br_if $l (i32.lt_u (local.get $i) (i32.const ROUNDS))))
   (call $write (i32.const 65536) (i32.const 17))
   (call $exit (i32.const 0))))
