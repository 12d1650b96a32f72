// Package filters is the contract between an exchange and the filters on its way. It runs nothing itself: proxy/l7 walks the
// chain, and each filter has a folder of its own below this one.
package filters
