package org.example.peers;

import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcContext;

/** A provider of Greeter, and of Shop in group blue: its name, and a port for Dubbo 2 and one for Triple. It says "ready", and ends with its input. */
public final class Server implements Greeter {
    private final String name;
    private volatile String kept = "";

    private Server(String name) {
        this.name = name;
    }

    @Override
    public String greet(String who) {
        return name + " " + who;
    }

    @Override
    public String attached(String key) {
        return String.valueOf(RpcContext.getServerAttachment().getObjectAttachment(key));
    }

    @Override
    public String fail(String message) {
        throw new IllegalStateException(message);
    }

    @Override
    public String note(String text) {
        kept = text;
        return "";
    }

    @Override
    public String noted() {
        return kept;
    }

    static ApplicationConfig application(String name) {
        ApplicationConfig a = new ApplicationConfig(name);
        a.setQosEnable(false);
        a.setLogger("jdk");
        return a;
    }

    private static ProtocolConfig protocol(String kind, String port) {
        ProtocolConfig p = new ProtocolConfig(kind, Integer.parseInt(port));
        p.setHost("127.0.0.1");
        p.setId(kind);
        return p;
    }

    public static void main(String[] args) throws Exception {
        ServiceConfig<Greeter> service = new ServiceConfig<>();
        service.setInterface(Greeter.class);
        service.setRef(new Server(args[0]));
        service.setProtocolIds("dubbo,tri");
        ServiceConfig<Shop> shop = new ServiceConfig<>();
        shop.setInterface(Shop.class);
        shop.setRef(new Shopkeeper());
        shop.setVersion("1.0.0");
        shop.setGroup("blue");
        shop.setProtocolIds("dubbo");
        DubboBootstrap.getInstance()
            .application(application("server"))
            .registry(new RegistryConfig("N/A"))
            .protocol(protocol("dubbo", args[1]))
            .protocol(protocol("tri", args[2]))
            .service(service)
            .service(shop)
            .start();
        System.out.println("ready");
        while (System.in.read() >= 0) { }
        System.exit(0);
    }
}
