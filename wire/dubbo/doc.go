// Package dubbo reads Dubbo 2: frames, and of their bodies what routes ask for, in hessian2 and in fastjson2's JSONB. Bodies are never written anew: what is passed on is what came, under
// another number. Who is asked, for how long and how often is for proxy; Triple, which is Dubbo 3, is HTTP/2 and needs nothing here.
package dubbo
