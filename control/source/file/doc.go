// Package file is a directory of YAML and JSON as a source of objects, followed as it changes. What an object means and whether it is good is for
// control/source to say.
package file
