;; A SIGSEGV that is blocked and has a handler, queued to itself in the name of a fault, while a signal
;; without a handler comes at an interrupt whose handlers are put off (the function catches). The kernel
;; takes the first where it asks for the second.
(module
 (prelude)
 (tag $e (param i32))
 (global $tid (mut i32) (i32.const 0))
 (func (export "_signal") (result i32) (call $sigreturn))
 (func $spin (param $n i32)
   (block $h (result i32)
     (try_table (catch $e $h)
       (loop $l
         (if (i32.eq (local.get $n) (i32.const 1)) (then (throw $e (i32.const 7))))
         (local.set $n (i32.add (local.get $n) (i32.const 2)))
         (br $l)))
     (i32.const 0))
   (drop))
 (func (export "_start") (param i32)
   (call $handle (i32.const 11))
   (global.set $tid (call $sys1 (i32.const 178) (i32.const 0)))
   ;; rt_sigprocmask(2): SIGSEGV is blocked
   (i64.store (i32.const 131072) (i64.const 0x400))
   (drop (call $sys (i32.const 135) (i32.const 0) (i32.const 131072) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0)))
   ;; rt_tgsigqueueinfo(2) to itself, with si_code = SEGV_MAPERR
   (i32.store (i32.const 131200) (i32.const 11))
   (i32.store (i32.const 131208) (i32.const 1))
   (drop (call $sys (i32.const 240) (global.get $tid) (global.get $tid) (i32.const 11) (i32.const 131200) (i32.const 0) (i32.const 0)))
   ;; timer_create(2): SIGILL to this thread; timer_settime(2)
   (i32.store (i32.const 131404) (i32.const 4))
   (i32.store (i32.const 131408) (i32.const 4))
   (i32.store (i32.const 131412) (global.get $tid))
   (if (call $sys3 (i32.const 107) (i32.const 1) (i32.const 131400) (i32.const 131500)) (then (call $exit (i32.const 3))))
   (i64.store (i32.const 131616) (i64.const 0))
   (i64.store (i32.const 131624) (i64.const 5000000))
   (if (call $sys (i32.const 409) (i32.load (i32.const 131500)) (i32.const 0) (i32.const 131600) (i32.const 0) (i32.const 0) (i32.const 0)) (then (call $exit (i32.const 4))))
   (call $spin (i32.const 0))
   (call $exit (i32.const 0))))
