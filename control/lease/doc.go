// Package lease has one of several processes do what must be done by one: it holds a record that it renews, and the others wait until nobody does. It is
// not for what is done, and no more certain than clocks run evenly: what must never be done twice is written by comparing and swapping, too.
package lease
