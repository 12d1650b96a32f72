// Package dubbo reads Dubbo 2: frames, and of their bodies what routes ask for, in hessian2 and in fastjson2's JSONB. Bodies of calls are never written anew: what is passed on is what came, under
// another number. Generic calls, and no others, are written, of JSON in hessian2, and their answers become JSON. Who is asked, for how long and how often is for proxy; which request is which call is for filters/dubbo; Triple,
// which is Dubbo 3, is HTTP/2 and needs nothing here.
package dubbo
