// Package admin is the listener for operators: is the process alive, may it take
// traffic, how is it doing, and what can be done about it. It serves the console and
// the API; what is asked is answered by those who know (package api names them), and who
// may ask is decided in package access.
package admin
