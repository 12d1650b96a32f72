// Package dubbo is the HTTP filter weft.filters.http.dubbo, by which requests become calls of Dubbo: it finds the method that a request is for, writes its arguments as the method's parameters are declared, and has
// the answer be JSON. How calls are routed, tried again and carried is that of all requests, and not done here; what comes as a call already is proxy/dubbo's.
package dubbo
