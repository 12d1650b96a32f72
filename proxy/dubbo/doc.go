// Package dubbo carries Dubbo 2 call by call: the downstream connection and its frames, the route that a call takes by what it asks for, the wait for its answer, and what is counted of that. How frames
// and bodies are spelled is for wire/dubbo, which endpoint and which line for proxy/upstream.
package dubbo
