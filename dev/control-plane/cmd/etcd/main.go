// Command etcd is etcd's own server, built from the Go module proxy: etcd publishes its server as a
// library (etcdmain) and its main package only in a module that cannot be built from outside.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
