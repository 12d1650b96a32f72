package org.example.peers;

/** What servers of the test have, those in Go as well. */
public interface Greeter {
    /** The server's name, and the argument. */
    String greet(String name);

    /** What is attached to the call under a key. */
    String attached(String key);

    /** Throws an exception with the message. */
    String fail(String message);

    /** Keeps a text, and says nothing; with Dubbo 2 it is called without waiting for an answer. */
    String note(String text);

    /** The text that was kept last. */
    String noted();
}
