//go:build !linux

package main

// loosen is for Linux.
func loosen() {}
