// Command dynamod-svmgr is the service manager: it loads units, decides in a pure
// core and acts on the system. It runs under dynamod-init, as the first process of
// a container, as a user's manager, or by itself without any privilege.
package main
