package org.example.peers;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;

import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.service.GenericService;

/**
 * A consumer of Greeter. For each line of its input, "URL TEXT", it makes a few calls and says in one line how they ended. A third word has it
 * make a generic call, too; if that is "alone", none is made that may go to another server.
 */
public final class Client {
    private static <T> ReferenceConfig<T> reference(String url) {
        ReferenceConfig<T> r = new ReferenceConfig<>();
        r.setInterface(Greeter.class.getName());
        r.setUrl(url);
        r.setCheck(false);
        r.setTimeout(20000);
        r.setRetries(0);
        return r;
    }

    private static String calls(String url, String text, boolean alone) {
        ReferenceConfig<Greeter> r = reference(url);
        MethodConfig note = new MethodConfig();
        note.setName("note");
        note.setReturn(url.startsWith("tri:"));
        r.setMethods(List.of(note));
        Greeter g = r.get();
        StringBuilder said = new StringBuilder();
        said.append("greet=").append(g.greet(text));
        if (!alone) {
            said.append("; cross=").append(g.greet("cross"));
        }
        RpcContext.getClientAttachment().setAttachment("canary", text);
        said.append("; attached=").append(g.attached("canary"));
        try {
            String answer = g.fail(text);
            said.append("; fail=").append(answer);
        } catch (Exception e) { // that of a server in Go is none of what Java lets the method throw
            said.append("; threw=").append(String.valueOf(e.getMessage()).contains(text) ? "it" : e.toString());
        }
        g.note(text);
        String noted = g.noted();
        for (int i = 0; i < 100 && !noted.equals(text); i++) { // nobody says when a one-way call has been carried out
            try {
                Thread.sleep(10);
            } catch (InterruptedException e) {
                break;
            }
            noted = g.noted();
        }
        said.append("; noted=").append(noted);
        return said.toString();
    }

    private static String generic(String url, String text) {
        ReferenceConfig<GenericService> r = reference(url);
        r.setGeneric("true");
        Object answer = r.get().$invoke("greet", new String[] {"java.lang.String"}, new Object[] {text});
        return "; generic=" + answer;
    }

    public static void main(String[] args) throws Exception {
        DubboBootstrap.getInstance().application(Server.application("client")).start();
        System.out.println("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            try {
                String said = calls(words[0], words[1], words.length > 2 && words[2].equals("alone"));
                if (words.length > 2) {
                    said += generic(words[0], words[1]);
                }
                System.out.println("said " + said);
            } catch (RuntimeException e) {
                e.printStackTrace();
                System.out.println("said " + e);
            }
        }
        System.exit(0);
    }
}
