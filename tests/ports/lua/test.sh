# LPeg's tests; that luac's code is what lua makes; that lua stands as interpreter of scripts, and its library reaches the system.
check() {
	name=$1
	shift
	if "$@" > log 2>&1; then echo "ok $name"; else echo "not ok $name"; cat log; fi
}
script() {
	printf '#!%s/src/lua\nprint(...)' "$PWD" > script && chmod +x script && [ "$(./script a 'b c')" = "$(printf 'a\tb c')" ]
}
compiled() {
	src/luac -o code -- lpeg/re.lua && src/luac -l code > listing && [ "$(wc -l < listing)" -gt 100 ]
}
library() {
	src/lua -e '
		local p = assert(io.popen("echo from a shell; exit 3"))
		assert(p:read("a") == "from a shell\n")
		local ok, how, status = p:close()
		assert(not ok and how == "exit" and status == 3)
		assert(os.execute("true") == true)
		local f = assert(io.tmpfile())
		f:write("x", 1.5, "\n"); f:seek("set")
		assert(f:read("l") == "x1.5")
		assert(os.time{year = 2000, month = 1, day = 1, hour = 12} > 0 and os.getenv("PATH"))
		assert(not pcall(error, {}) and select("#", pcall(string.rep, "x", -1)) == 2)
		local co = coroutine.wrap(function() for i = 1, 1e5 do coroutine.yield(i) end end)
		for i = 1, 1e5 do assert(co() == i) end
		assert(not pcall(string.rep, "x", 1 << 30, "y"))
		local function deep(n) return n == 0 and 0 or 1 + deep(n - 1) end
		assert(deep(1e5) == 100000 and not pcall(function() return deep(1e9) end))
		collectgarbage()
	'
}
lpeg() {
	# The last line of its test is OK.
	(cd lpeg && ./lua-lpeg test.lua) > lpeg.log 2>&1
	status=$?
	cat lpeg.log
	[ $status -eq 0 ] && [ "$(tail -n 1 lpeg.log)" = OK ]
}
check lpeg lpeg
check compiled compiled
check script script
check library library
