/* lua-lpeg SCRIPT: a Lua with the module lpeg inside. */
#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"
#include <stdio.h>

int luaopen_lpeg(lua_State *lua);

int main(int argc, char **argv)
{
	lua_State *lua = luaL_newstate();

	if (lua == NULL || argc != 2) {
		fputs("usage: lua-lpeg SCRIPT\n", stderr);
		return 2;
	}
	luaL_openlibs(lua);
	luaL_requiref(lua, "lpeg", luaopen_lpeg, 0);
	lua_settop(lua, 0);
	if (luaL_dofile(lua, argv[1]) != LUA_OK) {
		fprintf(stderr, "%s\n", lua_tostring(lua, -1));
		return 1;
	}
	lua_close(lua);
	return 0;
}
