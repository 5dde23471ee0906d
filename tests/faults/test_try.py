import time,sys,os
def probe():
    import atexit,threading,sys
    n=len(sys.modules);t=time.time();a=set(sys.modules)
    threading._register_atexit(lambda: print("cpu",time.process_time(),"wall",time.time()-t,n,len(sys.modules),set(sys.modules)-a,flush=True))
def test_x(site):
    for i in range(4):
        t=time.time(); r=site.run("apply",site.manifest,"--parallelism","1",first=probe); 
        assert r.code==0,r; print("apply",time.time()-t)
        print(r.output[-600:])
        t=time.time(); r=site.run("destroy",site.manifest,first=probe); assert r.code==0,r; print("destroy",time.time()-t,r.output[-50:])
        t=time.process_time();w=time.time(); site.apply_all(site.manifest,parallelism=1); print("in-process",time.process_time()-t,time.time()-w)
        site.destroy(site.manifest)
