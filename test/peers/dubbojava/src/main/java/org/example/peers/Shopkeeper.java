package org.example.peers;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.dubbo.rpc.RpcContext;

/** A provider of Shop. */
final class Shopkeeper implements Shop {
    @Override
    public Order place(Order order) {
        order.setId(order.getId() + 1);
        return order;
    }

    @Override
    public List<Order> twice(Order order) {
        return Arrays.asList(order, order);
    }

    @Override
    public String told(int a, long b, short c, byte d, char e, float f, double g, boolean h, String i, Date j, BigDecimal k, Kind l, int[] m, List<String> n, Map<String, Integer> o, byte[] p) {
        return String.join("|", "" + a, "" + b, "" + c, "" + d, "" + e, "" + f, "" + g, "" + h, i, "" + j.getTime(), k.toPlainString(), l.name(), Arrays.toString(m), n.toString(), new TreeMap<>(o).toString(), Arrays.toString(p));
    }

    @Override
    public String boxes(Integer a, Long b, Boolean c, String d) {
        return a + "|" + b + "|" + c + "|" + d;
    }

    @Override
    public Object any(Object o) {
        return o;
    }

    @Override
    public void nothing() {
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
    public String late(int milliseconds) throws InterruptedException {
        Thread.sleep(milliseconds);
        return "late";
    }
}
