// Package memory gives back to the machine what a program does not need any more: garbage, and its own pages that only its start has read. It is not for how much may be
// held: each room bounds that itself.
package memory
